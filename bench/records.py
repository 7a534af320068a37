"""Records: the patients that are sent, and how they change from one sync to the next."""

from typing import Any

Record = dict[str, Any]

COMMON: Record = {
    "firstName": "Yousef",
    "secondName": "Bin",
    "lastName": "Khalid",
    "gender": "Male",
    "bloodType": "O+",
}
COMMON |= {"isActive": True}
FIELDS = (
    "patientNo",
    "nationalID",
    "name",
    "mobile",
    "phone",
    "dateOfBirth",
    "email",
    *COMMON,
)
# What each case is, and what the service calls it.
CASES = {
    "insert": "created",
    "unchanged": "unchanged",
    "changed": "updated",
}


def patient(number: int) -> Record:
    """Return a complete patient, well spelt; what identifies is its own. `number` has seven digits at most."""
    digits = f"{number:07}"
    return {
        "patientNo": f"P-{digits}",
        "nationalID": f"112{digits}",
        "name": f"Yousef Bin Khalid {digits}",
        "mobile": f"+96655{digits}",
        "phone": f"+96656{digits}",
        "dateOfBirth": f"{1940 + number % 80}-{1 + number % 12:02}-{1 + number % 28:02}",
        "email": f"patient{number}@mail.example",
    } | COMMON


def messy(number: int) -> Record:
    """Return the same patient as desktop programs send it.

    A third have no patientNo, a quarter of those no national id either; half have Arabic names and phones in local
    spelling; two of three carry nulls.
    """
    found = patient(number) | {"dateOfBirth": f"{patient(number)['dateOfBirth']}T00:00:00"}
    digits = f"{number:07}"
    if number % 3 == 0:
        found["patientNo"] = None
    if number % 12 == 0:
        found["nationalID"] = None
    if number % 2:
        found |= {
            "name": f"يوسف بن خالد {digits}",
            "firstName": "يوسف",
            "secondName": "خالد",
            "lastName": "الأحمد",
        }
        found |= {"mobile": f"055 {digits[:3]} {digits[3:]}", "phone": f"056{digits}"}
    if number % 3:
        found |= {"secondName": None, "bloodType": None, "phone": None}
    return found


def changed(record: Record, edition: int = 1) -> Record:
    """Return a record with another e-mail and last name, the same for the same edition."""
    return record | {
        "email": f"new{edition}.{record['email']}",
        "lastName": f"{record['lastName']} {edition}",
    }


def cases(records: list[Record]) -> dict[str, list[Record]]:
    """Return what each case of a bulk sends: new, again, and with other e-mails and last names."""
    return {
        "insert": records,
        "unchanged": records,
        "changed": [changed(record) for record in records],
    }

"""A service as one would write it in an afternoon: Flask and `session.merge` on the patient's number, no rules.

It is only here to be compared with.
"""

import os

import sqlalchemy as sa
from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"timeout": 60}}
db = SQLAlchemy(app)


class Patient(db.Model):
    """A patient as it is sent; its number is the primary key."""

    __table_args__ = (sa.UniqueConstraint("mobile", "name"),)

    patientNo = sa.Column(sa.String(64), primary_key=True)
    nationalID = sa.Column(sa.String(64), unique=True)
    name = sa.Column(sa.String(200), nullable=False)
    firstName = sa.Column(sa.String(200))
    secondName = sa.Column(sa.String(200))
    lastName = sa.Column(sa.String(200))
    mobile = sa.Column(sa.String(200))
    dateOfBirth = sa.Column(sa.String(10))
    gender = sa.Column(sa.String(10))
    email = sa.Column(sa.String(200))
    phone = sa.Column(sa.String(200))
    bloodType = sa.Column(sa.String(3))
    isActive = sa.Column(sa.Boolean)


@app.post("/patients")
def patients():
    """Merge a list."""
    for data in request.get_json():
        db.session.merge(Patient(**data))
    db.session.commit()
    return {"ok": True}


@app.post("/patient")
def patient():
    """Merge one."""
    db.session.merge(Patient(**request.get_json()))
    db.session.commit()
    return {"ok": True}


@app.get("/healthz")
def healthz():
    """Tell that the service is up."""
    return {"ok": True}


def _open(connection, _record):
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


with app.app_context():
    sa.event.listen(db.engine, "connect", _open)
    if os.environ.get("CREATE_TABLES"):
        db.create_all()

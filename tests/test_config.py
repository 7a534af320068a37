"""Settings: what is understood, what is refused by name, and that no key is ever shown."""

import hashlib
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import programs
import pytest
from dotenv import dotenv_values

import config

KEY = "0123456789abcdef"  # as short as a key may be
LEAST = {"API_KEYS": f"desktop:{KEY}"}
INSTANCE = config.ROOT / "instance"


def read(**env: str) -> config.Settings:
    return config.read(LEAST | env)


def refused(**env: str) -> str:
    """Return the sentence that refuses these settings, which must name the last of them."""
    with pytest.raises(config.SettingError) as caught:
        read(**env)
    assert list(env)[-1] in str(caught.value)
    return str(caught.value)


def keys(text: str) -> list[tuple[str, str]]:
    return [(key.name, key.secret) for key in read(API_KEYS=text).api_keys]


# --- Keys --------------------------------------------------------------------------------------


def test_each_key_has_its_name():
    assert keys(f"desktop:{KEY},nightly:{KEY}2") == [
        ("desktop", KEY),
        ("nightly", f"{KEY}2"),
    ]


def test_a_bare_key_is_named_default():
    assert keys(KEY) == [("default", KEY)]


def test_a_bare_and_a_named_key_are_valid_at_once():
    assert keys(f"{KEY},new:{KEY}2") == [("default", KEY), ("new", f"{KEY}2")]


def test_blanks_and_empty_parts_around_keys_do_not_count():
    assert keys(f" , desktop : {KEY} ,, ") == [("desktop", KEY)]


def test_a_key_may_hold_a_colon():
    assert keys(f"desktop:{KEY}:x") == [("desktop", f"{KEY}:x")]


@pytest.mark.parametrize("none", ["", "  ", ",", " , ,"])
def test_no_key_is_refused(none):
    assert "not set" in refused(API_KEYS=none)


def test_an_environment_without_keys_is_refused():
    with pytest.raises(config.SettingError, match="API_KEYS"):
        config.read({})


@pytest.mark.parametrize(
    "text",
    [f"a:{KEY},a:{KEY}2", f"{KEY},{KEY}2", f"{KEY},default:{KEY}2", f"a:{KEY}, a :{KEY}"],
)
def test_two_keys_of_one_name_are_refused(text):
    assert KEY not in refused(API_KEYS=text)


@pytest.mark.parametrize(
    "secret",
    [
        "مفتاح-طويل-جدا-جدا",
        "clé-assez-longue-ici",
        "a\x07bcdefghijklmnop",
        "0123456789abcdef\x7f",
    ],
)
def test_a_key_that_no_header_carries_is_refused(secret):
    sentence = refused(API_KEYS=f"desktop:{secret}")
    assert "desktop" in sentence
    assert secret not in sentence


@pytest.mark.parametrize("text", ["desktop:", "desktop: ", ":", f"a:{KEY},b:"])
def test_an_empty_key_is_refused(text):
    refused(API_KEYS=text)


@pytest.mark.parametrize(
    "weak", ["guess-me", "0123456789abcde", "put-a-long-random-key-here"]
)
@pytest.mark.parametrize("prefix", ["", "desktop:"])
def test_a_weak_key_is_warned_of_by_name_and_not_shown(weak, prefix, caplog):
    caplog.set_level(logging.WARNING)
    read(API_KEYS=f"{prefix}{weak}")
    (record,) = caplog.records
    assert record.levelno >= logging.WARNING
    assert (prefix.rstrip(":") or "default") in record.getMessage()
    assert weak not in record.getMessage()


def test_a_key_of_16_characters_is_not_warned_of(caplog):
    read(API_KEYS=f"desktop:{KEY}")
    assert caplog.records == []


def test_each_weak_key_is_warned_of(caplog):
    caplog.set_level(logging.WARNING)
    read(API_KEYS=f"first:abc-1,good:{KEY},second:abc-2")
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "first" in told[0]
    assert "second" in told[1]


@pytest.mark.parametrize(
    ("sent", "matches"),
    [
        (KEY.encode(), True),
        (KEY.upper().encode(), False),
        (KEY[:-1].encode(), False),
        (b"", False),
        (b"\xff\xfe", False),
    ],
)
def test_a_key_matches_its_own_bytes_only(sent, matches):
    assert (
        config.ApiKey("desktop", KEY).digest == hashlib.sha256(sent).digest()
    ) is matches


@pytest.mark.parametrize("show", [repr, str, "{}".format])
def test_settings_can_be_shown_without_showing_a_secret(show):
    secrets = {"SECRET_KEY": "the-secret-key-of-it", "PORTAL_PASSWORD": "the-password"}
    settings = read(DATABASE_URL="postgresql://u:the-db-word@h/n", **secrets)
    shown = (
        show(settings)
        + show(settings.api_keys[0])
        + show([settings.api_keys])
        + show(settings.database_url)
    )
    assert "desktop" in shown
    for secret in (KEY, "the-secret-key-of-it", "the-password", "the-db-word"):
        assert secret not in shown


# --- The database ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("postgres://u:p@h:5433/n", "postgresql+psycopg://u:p@h:5433/n"),
        ("postgresql://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        ("postgresql+psycopg://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        (
            "postgres://u:p@h/n?sslmode=require",
            "postgresql+psycopg://u:p@h/n?sslmode=require",
        ),
        ("mysql://u:p@h/n", "mysql+pymysql://u:p@h/n"),
        ("mariadb://u:p@h/n", "mariadb+pymysql://u:p@h/n"),
        (" postgres://u:p@h/n ", "postgresql+psycopg://u:p@h/n"),
        ("sqlite:////var/lib/clinic/a.db", "sqlite:////var/lib/clinic/a.db"),
        ("sqlite:///a.db", f"sqlite:///{INSTANCE / 'a.db'}"),
        ("sqlite:///sub/a.db", f"sqlite:///{INSTANCE / 'sub' / 'a.db'}"),
        ("sqlite+pysqlite:///a.db", f"sqlite+pysqlite:///{INSTANCE / 'a.db'}"),
    ],
)
def test_a_database_is_understood_as_people_write_it(url, meant):
    assert (
        read(DATABASE_URL=url).database_url.render_as_string(hide_password=False) == meant
    )


@pytest.mark.parametrize("env", [{}, {"DATABASE_URL": ""}, {"DATABASE_URL": "  "}])
def test_the_default_is_a_file_in_the_projects_instance_folder_wherever_it_is_started(
    env, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    url = read(**env).database_url
    assert url.drivername == "sqlite"
    assert Path(url.database).parent == INSTANCE


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:"]
)
def test_a_database_in_memory_is_refused(url):
    assert "memory" in refused(DATABASE_URL=url)


@pytest.mark.parametrize(
    "nonsense",
    [
        *("clinic.db", "not a url", "postgres//h/n", "https://clinic.example/n", "://"),
        *(
            "postgresql://u:the-word@h:port/n",
            "nosql://u:the-word@h/n",
            "postgresql+nodriver://u:the-word@h/n",
        ),
    ],
)
def test_what_is_no_databases_address_is_refused_without_repeating_it(nonsense):
    assert "the-word" not in refused(DATABASE_URL=nonsense)


@pytest.mark.parametrize(
    "url", ["oracle://u:p@h/n", "mssql://u:p@h/n", "postgresql+psycopg2://u:p@h/n"]
)
def test_a_database_that_the_service_does_not_speak_to_is_refused(url):
    refused(DATABASE_URL=url)


# --- Platforms ---------------------------------------------------------------------------------

PLATFORMS = [
    ({"DYNO": "web.1"}, "Heroku"),
    ({"RENDER": "true"}, "Render"),
    ({"RAILWAY_ENVIRONMENT": "production"}, "Railway"),
    ({"RAILWAY_ENVIRONMENT_NAME": "production"}, "Railway"),
    ({"FLY_APP_NAME": "clinic"}, "Fly"),
]
POSTGRESQL = "postgres://u:p@h/n"


@pytest.mark.parametrize(("variables", "name"), PLATFORMS, ids=str)
@pytest.mark.parametrize("url", ["", "sqlite:///clinic.db", "sqlite:////data/clinic.db"])
def test_a_file_that_the_platform_forgets_is_refused(variables, name, url):
    told = refused(**variables, DATABASE_URL=url)
    assert f"On {name} an SQLite file vanishes" in told
    assert "ALLOW_SQLITE" in told


@pytest.mark.parametrize(("variables", "name"), PLATFORMS, ids=str)
def test_a_file_on_a_disk_that_is_kept_is_fine(variables, name):
    settings = read(ALLOW_SQLITE="on", **variables)
    assert settings.database_url.get_backend_name() == "sqlite"


@pytest.mark.parametrize("wrong", ["yes", "1", "true", "sqlite"])
def test_allow_sqlite_is_on_or_off(wrong):
    assert "ALLOW_SQLITE must be on or off" in refused(DYNO="web.1", ALLOW_SQLITE=wrong)


@pytest.mark.parametrize(("variables", "name"), PLATFORMS, ids=str)
def test_a_platform_with_a_database_is_fine_and_everybody_reaches_the_service(
    variables, name
):
    settings = read(DATABASE_URL=POSTGRESQL, PORT="10000", **variables)
    assert settings.database_url.render_as_string(False).startswith("postgresql+psycopg://")
    assert (settings.host, settings.port) == ("0.0.0.0", 10000)


def test_a_platform_does_not_overrule_host():
    assert read(DYNO="web.1", DATABASE_URL=POSTGRESQL, HOST="::").host == "::"


@pytest.mark.parametrize(("variables", "name"), PLATFORMS, ids=str)
def test_a_blank_variable_is_no_platform(variables, name):
    settings = read(**dict.fromkeys(variables, ""))
    assert settings.host == "127.0.0.1"


# --- Every other setting -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("host", "127.0.0.1"),
        ("port", 5082),
        ("secret_key", None),
        ("portal_password", None),
        ("trusted_proxies", 0),
        ("phone_region", "SA"),
        ("time_zone", ZoneInfo("Asia/Riyadh")),
        ("max_batch", 100_000),
        ("max_content_length", 64 * 1024 * 1024),
        ("history_days", 90),
        ("import_encoding", "windows-1256"),
        ("log_level", "INFO"),
        ("log_format", "TEXT"),
        ("allow_sqlite", False),
    ],
)
@pytest.mark.parametrize("blank", [None, ""])
def test_what_is_not_set_has_its_default(name, default, blank):
    env = {} if blank is None else {name.upper(): blank}
    assert getattr(read(**env), name) == default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("PORT", "8000", 8000),
        ("PORT", " 65535 ", 65535),
        ("PORT", "1", 1),
        ("WEB_CONCURRENCY", "4", 4),
        ("SECRET_KEY", "s" * 16, "s" * 16),
        ("TRUSTED_PROXIES", "2", 2),
        ("PHONE_REGION", "AE", "AE"),
        ("PHONE_REGION", "eg", "EG"),
        ("TIME_ZONE", "Africa/Cairo", ZoneInfo("Africa/Cairo")),
        ("TIME_ZONE", "UTC", ZoneInfo("UTC")),
        ("MAX_BATCH", "1", 1),
        ("MAX_CONTENT_LENGTH", "1048576", 1_048_576),
        ("HISTORY_DAYS", "365", 365),
        ("IMPORT_ENCODING", "iso-8859-6", "iso-8859-6"),
        ("BACKUP_FOLDER", "/mnt/usb", Path("/mnt/usb")),
        ("BACKUP_FOLDER", "copies", config.ROOT / "copies"),
        ("BACKUP_FOLDER", " ", None),
        ("IMPORT_ENCODING", "cp720", "cp720"),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_LEVEL", "WARNING", "WARNING"),
        ("LOG_FORMAT", "json", "JSON"),
        ("LOG_FORMAT", "Text", "TEXT"),
    ],
)
def test_a_setting_that_makes_sense_is_taken(name, text, value):
    assert getattr(read(**{name: text}), name.lower()) == value


NO_WHOLE_NUMBERS = [
    "0",
    "-1",
    "1.5",
    "many",
    "8e3",
    "٥٠",
    "1_000",
    "0x10",
    "+5",
    "9" * 17,
    "9" * 5000,
]


@pytest.mark.parametrize(
    "name", ["PORT", "WEB_CONCURRENCY", "MAX_BATCH", "MAX_CONTENT_LENGTH", "HISTORY_DAYS"]
)
@pytest.mark.parametrize("wrong", NO_WHOLE_NUMBERS, ids=lambda text: text[:20])
def test_what_is_no_positive_whole_number_is_refused_by_name(name, wrong):
    refused(**{name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("PORT", "65536"),
        ("HISTORY_DAYS", "1000000000000"),  # no calendar goes back so far
        *(
            ("IMPORT_ENCODING", wrong)
            for wrong in ("klingon", "utf-16", "hex", "cp037", "a\0b")
        ),
        ("HOST", "http://127.0.0.1"),
        ("HOST", "not a host"),
        *(
            ("PHONE_REGION", wrong)
            for wrong in ("XX", "KSA", "966", "+966", "Saudi Arabia")
        ),
        *(
            ("TIME_ZONE", wrong)
            for wrong in (
                "Mars/Olympus",
                "Riyadh",
                "+03:00",
                "../etc/passwd",
                "/etc/passwd",
                "Asia",
                "a\0b",
            )
        ),
        *(("LOG_LEVEL", wrong) for wrong in ("LOUD", "10", "INFO,DEBUG")),
        *(("LOG_FORMAT", wrong) for wrong in ("xml", "jsonl", "text,json")),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(name, wrong):
    refused(**{name: wrong})


# --- Where settings come from ------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project's root with nothing in it but what a test writes there."""
    monkeypatch.setattr(config, "ROOT", tmp_path)
    for name in ("API_KEYS", "PORT", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    level = logging.getLogger().level  # which load() sets
    yield tmp_path
    logging.getLogger().setLevel(level)


def test_settings_stand_in_env_of_the_projects_root(root):
    (root / ".env").write_text(f"API_KEYS=desktop:{KEY}\nPORT=6001\n")
    assert config.load().port == 6001


def test_the_environment_beats_env(root, monkeypatch):
    (root / ".env").write_text(f"API_KEYS=desktop:{KEY}\nPORT=6001\nLOG_LEVEL=DEBUG\n")
    monkeypatch.setenv("PORT", "6002")
    settings = config.load()
    assert (settings.port, settings.log_level) == (6002, "DEBUG")


def test_the_env_of_another_folder_is_not_read(root, monkeypatch):
    other = root / "other"
    other.mkdir()
    (other / ".env").write_text(f"API_KEYS=desktop:{KEY}\n")
    monkeypatch.chdir(other)
    assert "API_KEYS" not in config.environment()


def test_a_start_with_a_senseless_setting_ends_with_a_sentence(root, monkeypatch):
    monkeypatch.setenv("API_KEYS", f"desktop:{KEY}")
    monkeypatch.setenv("PORT", "many")
    with pytest.raises(SystemExit, match="Cannot start: PORT must be"):
        config.load()


def make_folder(path: Path) -> None:
    path.mkdir()


def link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "moved-away")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def make_unreadable(path: Path) -> None:
    path.write_text(f"API_KEYS=desktop:{KEY}\n")
    path.chmod(0)


UNREADABLE = [make_folder, link_to_nothing, link_to_itself]


@pytest.mark.parametrize("spoil", UNREADABLE)
def test_an_env_that_cannot_be_read_ends_the_start_with_a_sentence(
    root, monkeypatch, spoil
):
    monkeypatch.setenv("API_KEYS", f"desktop:{KEY}")  # it may hold more than what is set
    spoil(root / ".env")
    with pytest.raises(
        SystemExit, match=r"^Cannot start: \S+/\.env cannot be read \("
    ) as told:
        config.load()
    assert "It must be a file" in str(told.value)


@pytest.mark.parametrize("spoil", [make_unreadable, *UNREADABLE])
@pytest.mark.parametrize("program", ["GUNICORN", "UPGRADE", "WRITE_ENV"])
def test_each_program_says_in_a_line_that_env_cannot_be_read(tmp_path, program, spoil):
    root = programs.copied(tmp_path)
    spoil(root / ".env")
    status, told = programs.run(getattr(programs, program), root)
    assert (status, told.count("\n")) == (1, 1), told
    assert f"{root}/.env cannot be read" in told
    assert KEY not in told


# --- Writing .env ------------------------------------------------------------------------------


def test_a_written_env_is_its_owners_only_and_can_be_started_from(tmp_path, caplog):
    path = tmp_path / ".env"
    before = os.umask(0)
    try:
        assert config.write_env(path) is True
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = config.read(dotenv_values(path))
    assert [key.name for key in settings.api_keys] == ["desktop"]
    assert settings.secret_key
    assert settings.portal_password
    assert caplog.records == []


def test_an_env_that_is_there_is_never_overwritten(tmp_path):
    path = tmp_path / ".env"
    path.write_text("API_KEYS=mine\n")
    assert config.write_env(path) is False
    assert path.read_text() == "API_KEYS=mine\n"


def test_an_env_that_cannot_be_written_is_told_in_a_line(tmp_path):
    root = programs.copied(tmp_path)
    root.chmod(0o500)
    status, told = programs.run(programs.WRITE_ENV, root)
    assert (status, told.count("\n")) == (1, 1), told
    assert f"{root}/.env cannot be written (Permission denied)." in told


def test_a_disk_that_takes_nothing_leaves_no_empty_env(tmp_path):
    root = programs.copied(tmp_path)
    full = ("prlimit", "--fsize=0", *programs.WRITE_ENV)
    status, told = programs.run(full, root)
    assert (status, told.count("\n")) == (1, 1), told
    assert f"{root}/.env cannot be written (File too large)." in told
    assert not (root / ".env").exists()


def test_every_written_env_has_secrets_of_its_own(tmp_path):
    config.write_env(tmp_path / "one")
    config.write_env(tmp_path / "two")
    one, two = dotenv_values(tmp_path / "one"), dotenv_values(tmp_path / "two")
    assert one.keys() == two.keys() == {"API_KEYS", "SECRET_KEY", "PORTAL_PASSWORD"}
    assert all(one[name] != two[name] for name in one)


# --- Importing and serving ---------------------------------------------------------------------


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's root with these settings alone."""
    # Beats a .env that somebody has here.
    unset = dict.fromkeys(["API_KEYS", "DATABASE_URL"], "")
    command, settings = [sys.executable, "-c", code], os.environ | unset | env
    return subprocess.run(
        command,
        cwd=config.ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_builds_no_application():
    done = python(
        "import app; print([name for name, it in vars(app).items() if isinstance(it, app.Flask)])"
    )
    assert (done.returncode, done.stdout) == (0, "[]\n")


def test_a_server_that_asks_for_the_application_gets_one(tmp_path):
    database = tmp_path / "clinic.db"
    done = python(
        "import app; print(type(app.app).__name__)",
        DATABASE_URL=f"sqlite:///{database}",
        **LEAST,
    )
    assert (done.returncode, done.stdout) == (0, "Flask\n")
    assert not database.exists()


def test_a_server_without_a_key_refuses_to_start_and_says_why():
    done = python("import app; app.app")
    assert done.returncode == 1
    assert done.stderr.startswith("Cannot start: API_KEYS is not set.")


def test_a_misspelt_name_in_the_module_is_no_application():
    done = python("import app; app.ap")
    assert "AttributeError" in done.stderr


def test_a_keys_name_fits_into_the_history() -> None:
    secret = "0123456789abcdef"
    assert config.read({"API_KEYS": f"{'n' * 64}:{secret}"}).api_keys[0].name == "n" * 64
    with pytest.raises(config.SettingError, match="API_KEYS"):
        config.read({"API_KEYS": f"{'n' * 65}:{secret}"})


def test_a_password_needs_a_secret_key_that_every_worker_shares():
    with pytest.raises(config.SettingError, match="SECRET_KEY"):
        read(PORTAL_PASSWORD="a-good-password")
    assert (
        read(PORTAL_PASSWORD="a-good-password", SECRET_KEY="s" * 16).portal_password
        == "a-good-password"
    )


def test_a_secret_key_that_can_be_guessed_is_refused():
    assert "SECRET_KEY" in refused(SECRET_KEY="s" * 15)


def test_a_password_that_can_be_guessed_is_warned_about(caplog):
    caplog.set_level(logging.WARNING)
    read(PORTAL_PASSWORD="p" * 10, SECRET_KEY="s" * 16)
    assert caplog.messages == []
    read(PORTAL_PASSWORD="p" * 9, SECRET_KEY="s" * 16)
    assert "PORTAL_PASSWORD" in caplog.text
    assert "ppp" not in caplog.text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp1256"])
def test_an_env_that_is_not_utf_8_ends_the_start_with_a_sentence(root, encoding):
    (root / ".env").write_bytes(
        "# مفتاح\nAPI_KEYS=tests:a-key-for-the-tests-only\n".encode(encoding, "replace")
    )
    with pytest.raises(SystemExit, match=r"Cannot start: \.env is not UTF-8"):
        config.load()


def test_an_env_with_the_mark_of_windows_editors_is_read(root):
    (root / ".env").write_text(
        "API_KEYS=tests:a-key-for-the-tests-only\n", encoding="utf-8-sig"
    )
    assert config.load().api_keys[0].name == "tests"

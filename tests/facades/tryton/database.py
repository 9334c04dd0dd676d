"""The Tryton database in a directory: made once, opened by every process that works on it."""

import secrets
import subprocess
import sys
from pathlib import Path

NAME = "erp"
MODULES = ("party", "norce")


def create(directory: Path) -> None:
    """Makes the database as an administrator would, unless it is there."""
    complete = directory / "complete"
    if complete.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    for left_over in directory.glob(f"{NAME}.sqlite*"):  # of an attempt that was cut off
        left_over.unlink()
    (directory / f"{NAME}.sqlite").touch()  # Tryton opens a file of SQLite, and never makes one
    configuration = directory / "trytond.conf"
    configuration.write_text(f"[database]\nuri = sqlite://\npath = {directory.resolve()}\n")
    password = directory / "admin-password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    admin = Path(sys.executable).with_name("trytond-admin")
    subprocess.run(
        [admin, "-c", configuration, "-d", NAME, "--email", "admin@example.com", "--activate-dependencies", "-u", *MODULES],
        env={"TRYTONPASSFILE": str(password)},
        check=True,
    )
    open_(directory)
    _add_countries()
    complete.touch()


def open_(directory: Path) -> None:
    """Loads Tryton's models for the database. Once in a process, before anything else of Tryton is imported."""
    from trytond import config

    config.update_etc(str(directory / "trytond.conf"))
    config.set("database", "path", str(directory.resolve()))  # of a copy, the file names the original
    from trytond.pool import Pool

    if NAME not in Pool.database_list():
        Pool.start()
        Pool(NAME).init()


def _add_countries() -> None:
    import pycountry
    from trytond.pool import Pool
    from trytond.transaction import Transaction

    with Transaction().start(NAME, 0):
        Pool().get("country.country").create([{"name": c.name, "code": c.alpha_2, "code3": c.alpha_3} for c in pycountry.countries])

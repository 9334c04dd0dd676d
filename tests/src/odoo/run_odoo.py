"""Runs a real Odoo 19 with its PostgreSQL for as long as standard input is open.

    run_odoo.py <cache> <environment>

<cache> keeps the download, what is unpacked of it, and a database that is ready, between runs; <environment> is the
Python environment with Odoo's requirements. Everything else is in a temporary directory that goes when this ends.
Prints lines of JSON: {"progress": …} while it prepares, {"ready": {…}} when Odoo answers, {"failed": …} instead.
Takes lines on standard input: `stop` ends the server ({"stopped": null}), `start` starts it again ({"ready": {…}}). Its
database and its port stay.
"""

import hashlib
import http.client
import json
import lzma
import os
import pathlib
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

# The version that the facts were measured with (erp-apis §2.1); where the archive has it no more, its newest is taken.
VERSION = "19.0.0+dfsg-1"
SHA256 = "9d2f598b0555db17e291d48ed24df184c70823c053c4c5ed53c467ca7f629bbf"
POOL = f"pool/main/o/odoo/odoo-19_{VERSION}_all.deb"
INDEX = "dists/sid/main/binary-amd64/Packages.xz"
# What the package leaves to other packages, and a browser needs; without them Odoo answers pages with HTTP 500.
FOR_BROWSERS = {
    "pool/main/n/node-jquery/libjs-jquery_3.6.1+dfsg+~3.5.14-1_all.deb":
        "a58c9ff6afe96c769cb6535754c909410760e4efa1e1540236194e489adcfb25",
    "pool/main/j/jquery-goodies/libjs-jquery-form_12-4_all.deb":
        "fbfeedcd3eaf519b3cdcc88e93a1c79f6775da71657bac763f1430fe66e8a1da",
    "pool/main/u/underscore/libjs-underscore_1.13.4~dfsg+~1.11.4-3_all.deb":
        "4a0fbc90e7f62ea50c4ac7453352721fa60bb5eac87e9f39a027908faff29015",
    "pool/main/f/fonts-font-awesome/fonts-font-awesome_5.0.10+really4.7.0~dfsg-4.1_all.deb":
        "5f09e1adce26d59628a239c538882d53e58978b958233864fc617be9a510018e",
}
MODULES = "contacts,product,base_automation"
DATABASE = "erp"
LOGIN, PASSWORD = "admin", "admin"
START_SECONDS = 90
FINISH_SECONDS = 5

cache, environment = (pathlib.Path(argument) for argument in sys.argv[1:3])


class Failed(Exception):
    pass


def say(**line):
    print(json.dumps(line), flush=True)


def fetch(url, path):
    with urllib.request.urlopen(url, timeout=60) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(
            file.read()
        ).hexdigest()


def archive():
    """The address of Debian's archive, which apt knows."""
    try:
        sites = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(
            "no Debian archive is known here: fetch the package odoo-19 of Debian sid and name it in ODOO_DEB"
        ) from error
    site = next((site for site in sites if site.endswith("/debian")), sites[0] if sites else None)
    if site is None:
        raise Failed("apt knows no archive: fetch the package odoo-19 of Debian sid and name it in ODOO_DEB")
    return site


def package():
    """The Debian package: named by ODOO_DEB, or fetched once."""
    named = os.environ.get("ODOO_DEB")
    if named:
        return pathlib.Path(named)
    cache.mkdir(parents=True, exist_ok=True)
    for path in sorted(cache.glob("*.deb"), reverse=True):
        if digest(path) == path.with_suffix(".sha256").read_text().strip():
            return path
    site = archive()
    say(progress=f"fetching Odoo from Debian's archive into {cache} (120 MB; once only)")
    name, expected = POOL, SHA256
    partial = cache / f"odoo-{os.getpid()}.part"
    try:
        fetch(f"{site}/{name}", partial)
    except urllib.error.HTTPError:
        with urllib.request.urlopen(f"{site}/{INDEX}", timeout=60) as answer:
            packages = lzma.decompress(answer.read()).decode()
        found = re.findall(r"^Package: odoo-19\n(?:.+\n)*", packages, re.MULTILINE)
        if not found:
            raise Failed("the archive has no odoo-19 any more: name a package in ODOO_DEB") from None
        field = lambda name: re.search(rf"^{name}: (.+)$", found[-1], re.MULTILINE).group(1)
        name, expected = field("Filename"), field("SHA256")
        fetch(f"{site}/{name}", partial)
    if digest(partial) != expected:
        raise Failed(f"{name} does not have the SHA-256 {expected}: try again, or name a package in ODOO_DEB")
    path = cache / name.rsplit("/", 1)[1]
    path.with_suffix(".sha256").write_text(expected)
    partial.rename(path)
    return path


def unpacked(deb):
    root = cache / deb.stem
    if not (root / "complete").exists():
        say(progress=f"unpacking {deb.name} (1.2 GB; once only)")
        shutil.rmtree(root, ignore_errors=True)
        if shutil.which("dpkg-deb") is None:
            raise Failed("dpkg-deb is missing: install the package dpkg")
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        (root / "complete").touch()
    return root


def fit_for_browsers(root):
    """Unpacks what pages need. The interface that programs use does without."""
    done = root / "fit-for-browsers"
    if done.exists():
        return
    partial = cache / f"for-browsers-{os.getpid()}.part"
    try:
        site = archive()
        for name, expected in FOR_BROWSERS.items():
            fetch(f"{site}/{name}", partial)
            if digest(partial) != expected:
                raise Failed(f"{name} does not have the SHA-256 {expected}")
            subprocess.run(["dpkg-deb", "-x", partial, root], check=True)
        done.touch()
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        say(progress=f"Odoo has no pages for browsers here, and answers them with HTTP 500: {error}")
    finally:
        partial.unlink(missing_ok=True)


def server_programs():
    """Where PostgreSQL's server is: Debian does not put it on the PATH."""
    places = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    on_path = shutil.which("initdb")
    places = ([pathlib.Path(on_path).parent] if on_path else []) + places[::-1]
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise Failed("PostgreSQL's server is missing: install it, for example with `sudo apt install postgresql`")


def free_port():
    """One that the system gives to no connection of its own: it must still be free when Odoo is started again."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed("no free port was found")


def prepared_for(programs, root):
    """Where a database is kept that is ready: it belongs to one version of PostgreSQL and of Odoo, and has its modules."""
    version = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    modules = MODULES.replace(",", "+")
    return cache / f"database-{version.split()[2].split('.')[0]}-{root.name}-{modules}"


class Run:
    def __init__(self, root, programs):
        self.root, self.programs = root, programs
        # PostgreSQL does not run as root, and the user it runs as has to get there.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="odoo-"))
        self.directory.chmod(0o711)
        self.user = {}
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            name = next((name for name in ("postgres", "nobody") if name in names), None)
            if name is None:
                raise Failed("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
            entry = pwd.getpwnam(name)
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.children = []

    def own(self, path):
        if self.user:
            for place in [path, *path.rglob("*")]:
                os.chown(place, self.user["user"], self.user["group"], follow_symlinks=False)

    def database(self, prepared):
        data, log = self.directory / "pg", self.directory / "pg.log"
        if prepared:
            shutil.copytree(prepared / "pg", data)
            data.chmod(0o700)
            self.own(data)
        else:
            data.mkdir(mode=0o700)
            self.own(data)
            command = [self.programs / "initdb", "-D", data, "-U", "odoo", "-A", "trust", "-E", "UTF8"]
            done = subprocess.run(
                [*command, "--locale=C.UTF-8"], capture_output=True, text=True, cwd="/", **self.user
            )
            if done.returncode:
                raise Failed(f"initdb failed: {done.stderr[-500:]}")
        self.database_port = free_port()
        sockets = self.directory / "sockets"
        sockets.mkdir()
        self.own(sockets)
        settings = ["listen_addresses=127.0.0.1", "fsync=off", f"unix_socket_directories={sockets}"]
        options = [word for setting in settings for word in ("-c", setting)]
        with open(log, "wb") as output:
            self.postgres = subprocess.Popen(
                [self.programs / "postgres", "-D", data, "-p", str(self.database_port), *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", **self.user,
            )
        self.children.append(self.postgres)
        self.wait("PostgreSQL", self.postgres, log, lambda: self.listens(self.database_port))

    @staticmethod
    def listens(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def wait(self, what, process, log, is_up):
        end = time.monotonic() + START_SECONDS
        while not is_up():
            if process.poll() is not None or time.monotonic() > end:
                raise Failed(f"{what} does not come up: {log.read_text(errors='replace')[-800:]}")
            time.sleep(0.1)

    def odoo(self, *arguments):
        settings = {
            "db_host": "127.0.0.1", "db_port": self.database_port, "db_user": "odoo", "db_password": "unused",
            "db_name": DATABASE, "data_dir": self.directory / "data", "http_interface": "127.0.0.1",
            "http_port": self.port, "without_demo": True, "max_cron_threads": 0, "workers": 0, "list_db": False,
        }
        configuration = self.directory / "odoo.conf"
        lines = [f"{name}={value}" for name, value in settings.items()]
        configuration.write_text("\n".join(["[options]", *lines]) + "\n")
        program = [environment / "bin/python3", self.root / "usr/bin/odoo", *arguments[:1], "-c", configuration]
        return [*program, *arguments[1:]], {
            **os.environ, "PYTHONPATH": str(self.root / "usr/lib/python3/dist-packages")
        }

    def prepare(self):
        """Makes a database with an API key, and keeps it for later runs."""
        say(progress="making a database for Odoo (half a minute; once only)")
        key = f"import pathlib; key = env['res.users.apikeys'].with_user(env.ref('base.user_admin')).sudo()._generate(None, 'sync', False); env['res.config.settings'].create({{'group_product_pricelist': True}}).execute(); env.cr.commit(); pathlib.Path({str(self.directory / 'key')!r}).write_text(key)\n"
        steps = [
            (("server", "-i", MODULES, "--stop-after-init"), None),
            (("shell", "--no-http"), key),
        ]
        for arguments, script in steps:
            command, variables = self.odoo(*arguments)
            done = subprocess.run(command, env=variables, input=script or "", capture_output=True, text=True)
            if done.returncode:
                raise Failed(f"Odoo's {arguments[0]} failed: {done.stderr[-800:]}")
        self.stop()
        prepared = prepared_for(self.programs, self.root)
        partial = prepared.with_name(f"{prepared.name}.{secrets.token_hex(4)}")
        partial.mkdir()
        shutil.copytree(self.directory / "pg", partial / "pg")
        shutil.copy(self.directory / "key", partial / "key")
        try:
            partial.rename(prepared)
        except OSError:
            shutil.rmtree(partial)
        return prepared

    def start(self, key):
        command, variables = self.odoo("server")
        log = self.directory / "odoo.log"
        with open(log, "ab") as output:
            self.server = subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.children.append(self.server)
        self.wait("Odoo", self.server, log, self.is_healthy)
        say(ready={
            "url": f"http://127.0.0.1:{self.port}", "database": DATABASE, "key": key,
            "login": LOGIN, "password": PASSWORD, "log": str(log),
        })

    def is_healthy(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/web/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def stop_server(self):
        """With the first signal Odoo lets requests finish, which one of a client that is gone may never do; with the
        second it ends at once."""
        self.server.send_signal(signal.SIGINT)
        try:
            self.server.wait(FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(START_SECONDS)
        self.children.remove(self.server)
        say(stopped=None)

    def stop(self):
        for child in reversed(self.children):
            # PostgreSQL ends its clients at once with SIGINT.
            child.send_signal(signal.SIGINT)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children = []

    def end(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def main():
    # Whoever ends this ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    programs, run = server_programs(), None
    try:
        root = unpacked(package())
        fit_for_browsers(root)
        run = Run(root, programs)
        run.port = free_port()
        prepared = prepared_for(programs, root)
        if not prepared.exists():
            run.database(None)
            prepared = run.prepare()
            shutil.rmtree(run.directory / "pg")
            shutil.rmtree(run.directory / "sockets")
        run.database(prepared)
        key = (prepared / "key").read_text().strip()
        run.start(key)
        for line in sys.stdin:
            match line.strip():
                case "stop":
                    run.stop_server()
                case "start":
                    run.start(key)
    finally:
        if run:
            run.end()


try:
    main()
except (Failed, OSError, subprocess.SubprocessError) as error:
    say(failed=str(error))
    sys.exit(1)

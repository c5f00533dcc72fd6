"""Planted passwords are nowhere but where they belong: everything that was written is searched.

A good and several failing sessions run with canaries as the passwords of repository and database,
and the tools print them where they can. Then the API server's whole store, logs, command lines,
files and the errors of the command line are searched, for the canaries as they are and in the
forms in which a program may print them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import attrs
import pytest

BACKEND = "canary+backend/word 7391"
DATABASE = "canary'database\"word&7391"


def forms(secret):
    """As it is, in a URL, in JSON, in Python, in hexadecimal, and in base64 inside of a text."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"\0" * n + raw).decode()[4 * bool(n) : -4] for n in range(3)]
    plain = [secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]]
    return {*plain, repr(secret)[1:-1], raw.hex(), *encoded}


def leaks(places, *secrets):
    """(place, form) of every secret that is found in the places' texts."""
    wanted = {form for secret in secrets for form in forms(secret)}
    return [(name, form) for name, text in places.items() for form in wanted if form in text]


def stored(server):
    """Every object in the store as it is and as it was, Events included; no Secret's own data."""
    store = server._world.store  # the API shows the present alone
    for bucket, log in list(store._log.items()):
        for obj in (*store.all(bucket), *(change.new for change in list(log))):
            own = {k: v for k, v in obj.items() if k not in ("data", "stringData")}
            shown = own if obj.get("kind") == "Secret" else obj
            meta = obj["metadata"]
            name = f"{obj.get('kind')} {meta.get('namespace', '')}/{meta['name']}"
            yield f"{name} at {meta['resourceVersion']}", json.dumps(shown, ensure_ascii=False)


def files(folder):
    """Every file below a folder but those of Secret volumes: logs, scratch folders, output.json."""
    for place, _, names in os.walk(folder):
        for file in (Path(place) / name for name in names):
            of_secret = {"stash-secret-volume", "secret-volume"} & set(file.parts)
            with contextlib.suppress(OSError):  # pods come and go
                if file.is_file() and not of_secret:
                    yield str(file), file.read_bytes().decode(errors="replace")


@attrs.define
class Searched:
    """What was written by everything that ran; collected while pods still have their logs."""

    case: object
    places: dict = attrs.field(factory=dict)

    def collect(self):
        estate = self.case.estate
        self.places |= dict(stored(estate.cluster.server))
        self.places |= dict(files(estate.cluster.data_dir))
        for number, line in enumerate(sorted(estate.heard.command_lines)):
            self.places[f"command line {number}"] = line
        for number, (_, pod, what) in enumerate(estate.heard.lines):
            self.places[f"arguments {number} in {pod}"] = what

    def session(self):
        """Run one, and look before its pods are gone with their logs."""
        found = self.case.backed_up()
        self.collect()
        return found

    def names(self, kind):
        return [name for name in self.places if name.startswith(kind)]


def cli(case, *arguments):
    """What a user sees of the command line."""
    command = [sys.executable, "-m", "reconciler.cli.main", *arguments]
    config = ["--kubeconfig", str(case.estate.cluster.kubeconfig)]
    done = subprocess.run([*command, *config], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def searched(case):
    """After a good session, and failing ones: by the dump, by the password, by the agent."""
    case.apply(case.secret(RESTIC_PASSWORD=BACKEND))
    case.apply(case.deployment("web"), *case.database(DATABASE), case.repository())
    case.apply(case.batch("deploy/web", "app/db"))
    case.ready()
    found = Searched(case)
    assert found.session()["phase"] == "Succeeded"

    tools = ("dump", "restic backup /data")
    case.answers(lambda _pod, what: "babble" if what.startswith(tools) else "go")
    failed = found.session()
    assert case.phases(failed) == {"web": "Failed", "db": "Failed"}
    assert "cannot log in with ***" in case.told(failed, "db")[1]
    assert "no key fits ***" in case.told(failed, "web")[1]

    nowhere = {"container": {"env": [{"name": "PATH", "value": "/nowhere"}]}}
    case.answers(lambda _pod, _what: "go")
    case.apply(
        case.batch(
            members=[case.member("deploy/web"), case.member("app/db", runtimeSettings=nowhere)]
        )
    )
    assert case.phases(found.session())["db"] == "Failed"

    case.apply(case.secret(RESTIC_PASSWORD=f"{BACKEND} of another repository"))
    case.is_phase("Repository", "repo", "Failed")
    found.collect()
    told = [
        cli(case, "status", "shop", "-n", case.name, *more) for more in ((), ("--output", "json"))
    ]
    told.append(cli(case, "plan", "-f", str(manifest(case))))
    found.places |= {f"output {number}": text for number, text in enumerate(told)}
    return found


def manifest(case):
    """A Secret and a misspelt batch, as a user keeps them in a file."""
    file = case.root / "manifest.yaml"
    batch = case.batch("deploy/web", schedule="61 * * * *")
    file.write_text("---\n".join(json.dumps(obj) + "\n" for obj in (case.secret(X=BACKEND), batch)))
    return file


def test_planted_passwords_are_found_nowhere(searched):
    assert leaks(searched.places, BACKEND, DATABASE) == []
    # an empty search would find nothing too: these places were there
    for kind in ("Event ", "BackupSession ", "Job ", "Pod ", "Secret ", "command line", "output"):
        assert searched.names(kind), kind
    assert any(name.endswith("operator.log") and text for name, text in searched.places.items())
    logs = [text for name, text in searched.places.items() if "/logs/" in name]
    assert any("cannot log in with ***" in text for text in logs)
    lines = [text for name, text in searched.places.items() if name.startswith("command line")]
    assert any("restic backup --stdin" in text for text in lines)
    assert any("mariadb-dump -u root" in text for text in lines)


@pytest.mark.parametrize("form", sorted(forms(DATABASE)))
def test_a_secret_is_found_in_every_form(form):
    assert leaks({"a log": f"Access denied for '{form}' (using password)"}, DATABASE)
    assert leaks({"a log": f"Access denied for '{form[1:]}'"}, DATABASE) == []


def plant_in_an_object(case, text):
    case.create(
        {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": case.meta("leak"),
            "data": {"notes": text},
        }
    )  # fmt: skip


def plant_in_an_object_that_is_deleted(case, text):
    plant_in_an_object(case, text)
    case.delete("ConfigMap", "leak")


def plant_in_a_log(case, text):
    container = {"name": "c", "image": "app", "command": ["printf", "%s", text]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    # the Pod names the text too, so only its log is kept
    case.create({"apiVersion": "v1", "kind": "Pod", "metadata": case.meta("leak"), "spec": spec})
    case.is_phase("Pod", "leak", "Succeeded")


def plant_in_a_file(case, text):
    (case.estate.cluster.data_dir / "leak").write_text(text)


def plant_in_a_command_line(case, text):
    with subprocess.Popen(["sh", "-c", "read line", text], stdin=subprocess.PIPE) as process:
        case.estate.heard.tell(case.name, "leak", "go")
        process.communicate(b"")


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (plant_in_an_object, "ConfigMap "),
        (plant_in_an_object_that_is_deleted, "ConfigMap "),
        (plant_in_a_log, "/logs/c/0.log"),
        (plant_in_a_file, "/leak"),
        (plant_in_a_command_line, "command line "),
    ],
)
def test_a_planted_leak_is_found(case, plant, place):
    """The search can fail. Another canary, for what is planted stays in the cluster's history."""
    secret = f"planted {plant.__name__}"
    found = Searched(case)
    found.collect()
    assert leaks(found.places, secret) == []
    plant(case, f"the password is {secret}")
    found.collect()
    assert any(place in name for name, _ in leaks(found.places, secret))

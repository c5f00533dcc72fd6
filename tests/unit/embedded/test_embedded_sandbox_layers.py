"""What a container sees of this machine does not depend on where Tandem is installed."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.embedded.nodes import sandbox
from reconciler.embedded.nodes.sandbox import Launch, Mount


@pytest.mark.skipif(sandbox.bubblewrap() is None, reason="bubblewrap does not work here")
def test_a_mount_over_a_folder_of_the_machine_does_not_hide_the_programs_in_it(
    tmp_path, monkeypatch
):
    tool = tmp_path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\ncat /scratch/of/mine/note\n")
    tool.chmod(0o755)
    scratch, inner, hosts = tmp_path / "scratch", tmp_path / "inner", tmp_path / "hosts"
    for folder in (scratch, inner):
        folder.mkdir()
    (inner / "note").write_text("here")
    hosts.write_text("127.0.0.1 localhost\n")
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")

    mounts = [Mount(f"/{tmp_path.parts[1]}", scratch), Mount("/scratch/of/mine", inner)]
    launch = sandbox.isolated(Launch([str(tool)], {"PATH": "/usr/bin:/bin"}), mounts, hosts, "pod")
    done = subprocess.run(
        launch.argv, env=dict(launch.environment), capture_output=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, b"here"), done.stderr

"""The workflows: what they may do, and that their steps, run as scripts, do what they are there for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from spurbench.record import Record

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
ROWS = np.repeat(np.arange(4), 20)
WEAK, STRONG, BEST = (np.random.default_rng(0).random((2, len(ROWS))) < share for share in (0.5, 0.8, 2.0))
Write = Callable[..., Record]


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    # YAML 1.1 takes the key `on` for a truth value.
    found["on"] = found.pop(True)  # type: ignore[call-overload]
    return found


def steps(name: str, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow(name)["jobs"][job]["steps"]
    return found


def every_step() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yml")):
        for job in workflow(path.stem)["jobs"]:
            for step in steps(path.stem, job):
                yield path.stem, step


def test_actions_are_pinned_to_commits_and_say_which_version() -> None:
    used = [line.strip() for path in FOLDER.glob("*.yml") for line in path.read_text().splitlines() if "uses:" in line]
    assert len(used) >= 8
    for line in used:
        assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_no_step_pastes_what_others_wrote_into_a_script() -> None:
    scripts = [step["run"] for _, step in every_step() if "run" in step]
    assert len(scripts) >= 6
    assert not [script for script in scripts if "${{" in script]


def test_nobody_has_more_rights_than_needed() -> None:
    leaderboard, comment = workflow("leaderboard"), workflow("leaderboard-comment")
    assert leaderboard["permissions"] == {"contents": "read"}
    assert "permissions" not in leaderboard["jobs"]["changes"], "what runs a fork's code only reads"
    build, deploy = leaderboard["jobs"]["build"], leaderboard["jobs"]["deploy"]
    assert build["permissions"] == {"contents": "read"}
    assert build["if"] == "github.event_name == 'push'"
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}
    assert deploy["needs"] == "build"
    assert [step["uses"].partition("@")[0] for step in deploy["steps"]] == ["actions/deploy-pages"]
    assert leaderboard["on"]["push"] == {"branches": ["main"]}
    assert comment["permissions"] == {}
    assert comment["jobs"]["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}
    for path in FOLDER.glob("*.yml"):
        assert "pull_request_target" not in workflow(path.stem)["on"]
    for _, step in every_step():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_what_may_comment_runs_nothing_of_the_pull_request() -> None:
    comment = workflow("leaderboard-comment")
    assert comment["on"] == {"workflow_run": {"workflows": [workflow("leaderboard")["name"]], "types": ["completed"]}}
    used = [step["uses"].partition("@")[0] for step in steps("leaderboard-comment", "comment") if "uses" in step]
    assert used == ["actions/download-artifact"]
    (script,) = [step["run"] for step in steps("leaderboard-comment", "comment") if "run" in step]
    assert re.findall(r"\S+ \S+ comment/\S+", script) == [
        "! -f comment/comment.md", "[ -L comment/comment.md", "head --bytes=60000 comment/comment.md;"
    ], "looked at and read, never run"  # fmt: skip
    (group,) = re.findall(r"group: (.*)", (FOLDER / "leaderboard-comment.yml").read_text())
    assert "head_repository" in group
    assert "head_branch" in group, "one run at a time for each pull request"


def script(name: str, job: str, title: str) -> dict[str, Any]:
    (step,) = [step for step in steps(name, job) if step.get("name") == title]
    return step


def run(step: dict[str, Any], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A step as the runner runs it, with `shell: bash`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**os.environ, "PATH": path, "SPURBENCH_CACHE": str(folder.parent / "cache"), **environment}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path, write_outcomes: Write) -> Path:
    """What the runner checks out: a branch that makes `weak` the best, on a base where `strong` was."""
    origin, made = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "--initial-branch=main")
    for method, right in {"weak": WEAK, "strong": STRONG}.items():
        write_outcomes(origin / "results", method, right, ROWS)
    board = {"run": "spurbench leaderboard"}
    assert run(board, origin).returncode == 0
    git(origin, "add", "--all")
    git(origin, "commit", "-m", "before")
    git(origin, "switch", "-c", "change")
    write_outcomes(origin / "results", "weak", BEST, ROWS)
    git(origin, "commit", "-am", "after, with a stale board")
    git(tmp_path, "clone", "-q", "--branch", "change", str(origin), str(made))
    return made


@pytest.mark.slow
def test_a_pull_requests_steps(clone: Path) -> None:
    compare = script("leaderboard", "changes", "Compare with the branch that this is to be merged into")
    check = script("leaderboard", "changes", "Fail if the committed leaderboard is not what the committed records say")
    assert compare["env"] == {"BASE": "${{ github.base_ref }}"}
    done = run(compare, clone, BASE="main")
    assert done.returncode == 0, done.stderr
    comment = (clone / "comment" / "comment.md").read_text()
    assert comment.startswith(
        "**Records: 1 changed, 1 the same; 2 rank changes; another best, or others not told from it, in 1 track**"
    )
    assert re.search(r"\| birds · RN50 · v1 +\| none +\| strong +\| weak, ≈ strong +\|", comment)
    assert re.search(r"\| weak +\| +2 \| +1 \|", comment)
    assert re.search(r"\| strong +\| +1 \| +2 \|", comment)

    stale = run(check, clone)
    assert stale.returncode == 1
    assert "leaderboard.md is not what the records in results say" in stale.stderr
    git(clone, "checkout", "-q", "--", ".")
    assert run({"run": "spurbench leaderboard"}, clone).returncode == 0
    fresh = run(check, clone)
    assert fresh.returncode == 0, fresh.stderr

    (clone / "results" / "v1" / "birds" / "RN50" / "weak.json").write_text("{")
    assert run(check, clone).returncode == 1, "a record that cannot be read is no reason to pass"


@pytest.mark.slow
def test_the_page_is_made_on_pull_requests_and_published_with_the_board_from_main(clone: Path) -> None:
    page, publish = (script("leaderboard", job, "Make the page") for job in ("changes", "build"))
    assert page == publish
    made = run(page, clone)
    assert made.returncode == 0, made.stderr
    board = run(script("leaderboard", "build", "Make the board and its tables, beside the page"), clone)
    assert board.returncode == 0, board.stderr
    (upload,) = [s for s in steps("leaderboard", "build") if s.get("uses", "").startswith("actions/upload-pages")]
    site = clone / upload["with"]["path"]
    assert sorted(path.name for path in site.iterdir()) == [
        "index.html", "leaderboard.csv", "leaderboard.json", "leaderboard.md",
    ]  # fmt: skip
    assert "weak" in (site / "index.html").read_text()
    assert [line["method"] for line in json.loads((site / "leaderboard.json").read_text())] == ["weak", "strong"]
    changed = git(clone, "status", "--porcelain", "--untracked-files=no")
    assert changed == "", "nothing that is committed is written"


GH = """#!/usr/bin/env python3
import json, os, sys
from pathlib import Path
arguments, folder = sys.argv[1:], Path(os.environ["STATE"])
state = json.loads((folder / "state.json").read_text())
if arguments[:2] == ["pr", "list"]:
    print(json.dumps(state["pulls"]))
elif "--method" not in arguments:
    for page in state["comments"]:
        print(json.dumps(page), end="")
else:
    body = json.loads(Path(arguments[arguments.index("--input") + 1]).read_text())["body"]
    state["written"].append([arguments[arguments.index("--method") + 1], arguments[3], body])
    (folder / "state.json").write_text(json.dumps(state))
"""
"""Stands for GitHub's command line: knows some pull requests and pages of comments, and notes what is written."""
MARK = "<!-- spurbench compare -->"


def by(login: str, number: int, body: str) -> dict[str, Any]:
    return {"id": number, "user": {"login": login}, "body": body}


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed; GitHub's runners have it")
@pytest.mark.parametrize(
    ("sha", "comments", "expected"),
    [
        ("aaa", [[by("someone", 1, f"{MARK}\\nforged")], [by("github-actions[bot]", 2, "another workflow's")]],
         ["POST", "repos/o/r/issues/7/comments"]),
        ("bbb", [[by("someone", 1, "x")], [by("github-actions[bot]", 9, f"{MARK}\\nold")]],
         ["PATCH", "repos/o/r/issues/comments/9"]),
        ("aaa", [[]], ["POST", "repos/o/r/issues/7/comments"]),
        ("gone", [[]], None),
    ],
)  # fmt: skip
def test_the_comment_is_written_once_and_renewed(
    sha: str, comments: list[Any], expected: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    pulls = [{"number": 7, "headRefOid": "aaa"}, {"number": 8, "headRefOid": "bbb"}]
    (tmp_path / "state.json").write_text(json.dumps({"pulls": pulls, "comments": comments, "written": []}))
    (tmp_path / "comment").mkdir()
    hostile = "$(touch hacked) `touch hacked` \"'\\ é\n"
    (tmp_path / "comment" / "comment.md").write_text(hostile + "x" * 70_000)
    step = script("leaderboard-comment", "comment", "Comment")
    assert step["env"] == {
        "GH_TOKEN": "${{ github.token }}",
        "REPOSITORY": "${{ github.repository }}",
        "SHA": "${{ github.event.workflow_run.head_sha }}",
    }
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "STATE": str(tmp_path), "REPOSITORY": "o/r", "SHA": sha},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "state.json").read_text())["written"]
    assert not (tmp_path / "hacked").exists()
    if expected is None:
        assert written == []
        return
    ((method, where, body),) = written
    assert [method, where] == expected
    said = "What follows was computed by the pull request's own code; nobody has checked it."
    assert body.startswith(f"{MARK}\n{said}\n\n{hostile}")
    assert 50_000 < len(body) < 65_536


@pytest.mark.parametrize("kind", ["link", "folder", "nothing"])
def test_what_is_no_file_is_not_commented(kind: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    (tmp_path / "bin" / "jq").write_text("#!/bin/sh\ncat > /dev/null\necho 7\n")
    (tmp_path / "bin" / "jq").chmod(0o755)
    state = json.dumps({"pulls": [{"number": 7, "headRefOid": "aaa"}], "comments": [[]], "written": []})
    (tmp_path / "state.json").write_text(state)
    (tmp_path / "comment").mkdir()
    if kind == "link":
        (tmp_path / "comment" / "comment.md").symlink_to("/etc/passwd")
    elif kind == "folder":
        (tmp_path / "comment" / "comment.md").mkdir()
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    step = script("leaderboard-comment", "comment", "Comment")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "STATE": str(tmp_path), "REPOSITORY": "o/r", "SHA": "aaa"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no file comment.md" in done.stdout
    assert (tmp_path / "state.json").read_text() == state

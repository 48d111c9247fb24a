"""Do the tests notice a change of one operator or number? `python tests/mutation.py FOLDER` (`make mutation`).

Copies the code and its tests to FOLDER, which is emptied first, and lets cosmic-ray change the copy in one place at a
time (tests/mutation.toml). The tests are collected once; each change is tried in a fork of that process, in which the
functions of the changed module are given their new code. A change of anything else, such as a constant, is tried by
pytest anew, in a fork that has forgotten the package. With `--again`, FOLDER's survivors only are tried, against the
tests as they are now. Prints every change that no test noticed.
"""

import argparse
import functools
import os
import shutil
import signal
import sqlite3
import sys
import types
from pathlib import Path
from typing import Any

# What the package and its tests import, so that a fork need not.
import hypothesis
import numpy as np
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pytest
import scipy.sparse  # noqa: F401
import torch
from cosmic_ray import mutating
from cosmic_ray.commands import execute, init
from cosmic_ray.config import load_config
from cosmic_ray.tools.filters.operators_filter import OperatorsFilter
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("fac_lab", "tests", "pyproject.toml")
CONFIG, SESSION = "tests/mutation.toml", "session.sqlite"


class NotPatched(Exception):
    """The change is in more than the code of functions."""


def functions(value: Any) -> list[types.FunctionType]:
    """The functions in a value of a namespace: itself, or those a decorator holds."""
    if isinstance(value, types.FunctionType):
        return [value]
    if isinstance(value, classmethod | staticmethod):
        return [value.__func__]
    if isinstance(value, property):
        return [part for part in (value.fget, value.fset, value.fdel) if part is not None]
    return []


def patch(old: dict[str, Any], new: dict[str, Any], module: str) -> None:
    """Give the functions of a namespace, and of its classes, the code of those in another. Raises NotPatched."""
    if old.keys() != new.keys():
        raise NotPatched
    for name in old:
        before, after = old[name], new[name]
        if name in ("__builtins__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__spec__", "__loader__"):
            continue
        if type(before) is not type(after):
            raise NotPatched
        if isinstance(before, type) and before.__module__ == module:
            patch(dict(vars(before)), dict(vars(after)), module)
        elif found := functions(before):
            for ours, theirs in zip(found, functions(after), strict=True):
                if ours.__module__ == module:
                    ours.__code__ = theirs.__code__
                    ours.__defaults__, ours.__kwdefaults__ = theirs.__defaults__, theirs.__kwdefaults__
        elif name == "__dataclass_params__":
            before, after = repr(before), repr(after)
        if isinstance(before, np.ndarray | int | float | str | tuple) and not np.array_equal(before, after):
            raise NotPatched


def changed_modules(sources: dict[Path, str]) -> list[Path]:
    """The modules that are not as they were; all of them where nothing is changed, to try the patching too."""
    return [path for path, source in sources.items() if path.read_text() != source] or list(sources)


def tried(session: pytest.Session, sources: dict[Path, str], arguments: str) -> int:
    """Exit status of the tests under the change that lies on disk, in a process of its own."""
    try:
        for path in changed_modules(sources):
            name = ".".join(path.with_suffix("").parts)
            fresh = types.ModuleType(name)
            fresh.__dict__.update({key: sys.modules[name].__dict__.get(key) for key in ("__file__", "__package__")})
            known = {key for key in vars(sys.modules[name]) if key not in vars(fresh)}
            exec(compile(path.read_text(), str(path.resolve()), "exec"), fresh.__dict__)
            ours = {key: value for key, value in vars(sys.modules[name]).items() if key in known and key[:2] != "__"}
            theirs = {key: value for key, value in vars(fresh).items() if key in known and key[:2] != "__"}
            patch(ours, theirs, name)
    except NotPatched:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("fac_lab", "tests")]:
            del sys.modules[name]
        return int(pytest.main(arguments.split()))
    for i, item in enumerate(session.items):
        following = session.items[i + 1] if i + 1 < len(session.items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def run_tests(
    arguments: str, timeout: float, *, session: pytest.Session, sources: dict[Path, str]
) -> tuple[TestOutcome, str]:
    """Run the tests in a fork; what cosmic-ray wants to know of it. Out of time counts as noticed."""
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(int(timeout))
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            status = tried(session, sources, arguments)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return (TestOutcome.SURVIVED if status == 0 else TestOutcome.KILLED), ""


class Loop:
    """In place of pytest's own loop over the tests: once as they are, then once for each change."""

    def __init__(self, config: Any, *, again: bool) -> None:
        self.config, self.again = config, again
        self.failed = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        sources = {Path(path): Path(path).read_text() for path in self.config["module-path"]}
        run = functools.partial(run_tests, session=session, sources=sources)
        if run(self.config.test_command, self.config.timeout)[0] != TestOutcome.SURVIVED:
            self.failed = f"the tests fail as they are: pytest {self.config.test_command}"
            return True
        mutating.run_tests = run
        if self.again:
            with sqlite3.connect(SESSION) as db:
                db.execute("delete from work_results where test_outcome = ?", (TestOutcome.SURVIVED.name,))
        else:
            with use_db(SESSION, WorkDB.Mode.create) as db:
                init([Path(path) for path in sources], db, self.config.operators_config)
                OperatorsFilter().filter(db, argparse.Namespace(config=CONFIG))
        with use_db(SESSION, WorkDB.Mode.open) as db:
            execute(db, self.config)
        return True


def few_examples() -> None:
    """Few examples, the same each time, and none made smaller once one fails."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    settings = {"deadline": None, "derandomize": True, "database": None, "max_examples": 25, "phases": phases}
    hypothesis.settings.register_profile("mutation", **settings, report_multiple_bugs=False)
    hypothesis.settings.load_profile("mutation")


def copy_to(folder: Path) -> None:
    """The tree as it is now, without what earlier runs compiled."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if target.is_dir():
            shutil.rmtree(target)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def report() -> None:
    """Print survivors and totals."""
    with use_db(SESSION, WorkDB.Mode.open) as db:
        done = [(item.mutations[0], result) for item, result in db.completed_work_items]
    done = [(change, result) for change, result in done if result.test_outcome is not None]
    survived = [(change, result) for change, result in done if result.test_outcome == TestOutcome.SURVIVED]
    for change, result in sorted(survived, key=lambda pair: (str(pair[0].module_path), pair[0].start_pos)):
        lines = [line for line in result.diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        print(f"{change.module_path}:{change.start_pos[0]} {change.operator_name}", *lines, sep="\n  ")
    print(f"{len(done)} changes, {len(done) - len(survived)} noticed, {len(survived)} not")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--again", action="store_true", help="the survivors of the last run only")
    options = parser.parse_args()
    if not options.again:
        shutil.rmtree(options.folder, ignore_errors=True)
        options.folder.mkdir(parents=True)
    copy_to(options.folder)
    os.chdir(options.folder)
    sys.path.insert(0, str(Path.cwd()))
    # Modules change faster than the clock by which Python tells that what it compiled is out of date.
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    torch.set_num_threads(1)
    few_examples()
    config = load_config(CONFIG)
    loop = Loop(config, again=options.again)
    pytest.main(config.test_command.split(), plugins=[loop])
    if loop.failed:
        sys.exit(loop.failed)
    report()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

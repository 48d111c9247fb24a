"""Have any of the locked packages known vulnerabilities? `python .ci/audit_dependencies.py [arguments of pip-audit]`.

Exit status 1 where pip-audit finds some. Where the service that knows them cannot be reached, that is said, and the
exit status is 0: an audit that did not take place is no reason to stop a build. pip-audit itself takes a mirror that
knows nothing of vulnerabilities for one that knows of none: packages that could not be looked up are counted here.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
COMMAND = [sys.executable, "-m", "pip_audit", "-f", "json", "--progress-spinner", "off", "--timeout", "10"]


def main(arguments: list[str]) -> int:
    """Audit the lock, or the requirements (-r) that the arguments name."""
    named = [] if "-r" in arguments else ["-r", str(LOCK)]
    done = subprocess.run(
        [*COMMAND, "--no-deps", "--disable-pip", *named, *arguments], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if "requests.exceptions" not in done.stderr and "ServiceError" not in done.stderr:
            print(f"pip-audit failed: {said}", file=sys.stderr)
            return 2
        print(f"not reachable: the service that knows of vulnerabilities ({said}); nothing was audited")
        return 0
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        print(f"not reachable: none of {len(packages)} packages could be looked up; nothing was audited")
        return 0
    found = [(package, flaw) for package in known for flaw in package["vulns"]]
    for package, flaw in found:
        mended = ", ".join(flaw.get("fix_versions") or []) or "no version yet"
        print(f"{package['name']} {package['version']}: {flaw['id']}, mended in {mended}")
    print(f"{len(known)} of {len(packages)} packages audited, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

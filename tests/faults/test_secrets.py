"""A key is sent to its endpoint and written nowhere, whatever the endpoint says and however a run ends."""

import json
import os
import subprocess
import sys

import pytest

from fac_lab.world import queries

KEY = "sk-the-key-of-this-test-0123456789"
RUN = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)  # of the libraries too
from fac_lab.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def endpoint(json_server):
    """A server that says the key wherever it can: in answers, in errors, in headers."""
    seen: list[str] = []

    def say(posted, headers):
        said = headers["Authorization"]
        seen.append(said)
        if len(seen) % 3 == 0:
            return 400, {"error": {"message": f"no, {said}"}}, {"X-Said": said}
        message = {"role": "assistant", "content": f'{{"summary": "requests about {said}"}}'}
        return 200, {"choices": [{"message": message, "finish_reason": "stop"}]}, {"X-Said": said}

    with json_server(say) as address:
        yield f"{address}/v1", seen


def test_no_output_of_a_run_holds_the_key(tmp_path, endpoint):
    url, seen = endpoint
    for name, n in (("mine", 20), ("anchor", 160)):
        rows = [json.dumps({"text": text}) for _, text in queries(n, seed=n)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    profile = tmp_path / "profile.yaml"
    chat = f"{{backend: endpoint, model: m, base_url: '{url}', api_key_env: KEY_OF_THIS_TEST, retries: 0}}"
    profile.write_text(f"extends: smoke\nannotator: {chat}\nsynthesis: {{prompts: paper}}\nrule: {{support: 12}}\n")
    command = ["audit", str(tmp_path / "mine.jsonl"), "--anchor", str(tmp_path / "anchor.jsonl")]
    run = subprocess.run(
        [sys.executable, "-c", RUN, *command, "--profile", str(profile), "--out", str(tmp_path / "run")],
        env={**os.environ, "KEY_OF_THIS_TEST": KEY}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert len(seen) > 3 and set(seen) == {f"Bearer {KEY}"}, "it was sent, and refused now and then"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("(key)" in path.read_text(errors="replace") for path in written), "what was said in its place is kept"
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in run.stdout and KEY not in run.stderr


def test_a_key_in_a_profile_is_refused(tmp_path):
    from fac_lab.errors import SettingsError
    from fac_lab.profile import load_profile

    path = tmp_path / "profile.yaml"
    path.write_text(f"extends: smoke\nannotator: {{backend: endpoint, model: m, api_key: {KEY}}}\n")
    with pytest.raises(SettingsError, match="unknown key annotator.api_key") as refusal:
        load_profile(path)
    assert KEY not in str(refusal.value)

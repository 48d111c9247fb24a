"""The paper's path from end to end, offline: models of its three families and SAEs in its authors' format on disk,
loaded as the real ones are; collection, missing features, synthesis through an endpoint, a LoRA detector.

Everything is random, so no number here means anything; behaviour steering is not part of the package yet.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import yaml

from fac_lab.corpora import Row
from fac_lab.coverage import cover, gap_coverage
from fac_lab.lab import Lab
from fac_lab.synthesis.samples import Sample, kept
from fac_lab.tasks.toxicity import Detector, train_detector

ANCHOR = [
    f"{verb} the {noun} {when}"
    for verb in ("bake", "watch", "cross", "play")
    for noun in ("bread", "moon", "river", "piano", "lamp")
    for when in ("at noon", "before the rain")
]
SEED = [f"watch the moon {when}" for when in ("at noon", "tonight", "again")]

# With Top-K off every feature is above 0 somewhere in every few texts, and nothing would be missing.
RULES = {"paper": {"kind": "absolute", "delta": 0.0}, "code": {"kind": "anchor_quantile", "quantile": 0.9}}


class Writer:
    """An OpenAI-compatible server that names, judges and writes as a chat model would: its query begins with the
    strongest piece it was shown and goes on in words of its own."""

    def __init__(self):
        self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N802, N805 - names and nesting are the library's and ours
                body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
                choice = {"index": 0, "message": {"role": "assistant", "content": self.answer(body)}}
                said = json.dumps({"choices": [{**choice, "finish_reason": "stop"}], "usage": {}}).encode()
                handler.send_response(200)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(said)))
                handler.end_headers()
                handler.wfile.write(said)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, body: dict) -> str:
        wanted = body["response_format"]["json_schema"]["schema"]["required"][0]
        self.asked.append(wanted)
        prompt = body["messages"][-1]["content"]
        if wanted == "summary":
            return json.dumps({"summary": "requests about things in a house"})
        if wanted == "verdict":
            return json.dumps({"verdict": "Yes", "reason": "as asked"})
        pieces = [json.loads(line) for line in prompt.splitlines() if line.startswith('"')]
        shown = next(piece for piece in pieces if piece != "requests about things in a house")
        return json.dumps({"query": f"{shown} and tell number {body['seed']} what came of it"})


@contextmanager
def running(writer: Writer):
    thread = threading.Thread(target=writer.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield writer
    finally:
        writer.http.shutdown()
        thread.join()
        writer.http.server_close()


def write_profile(path, *, model, sae, url, texts, protocol, rule):
    """A profile as for the real models, its settings the paper's but for sizes."""
    for role, rows in texts.items():
        lines = (json.dumps({"id": f"{role}-{i}", "text": text}) + "\n" for i, text in enumerate(rows))
        (path.parent / f"{role}.jsonl").write_text("".join(lines))
    chat = {"backend": "endpoint", "model": "writer", "base_url": url, "concurrency": 2}
    path.write_text(
        yaml.safe_dump(
            {
                "subject": {"path": str(model), "layer": 1, "max_tokens": 128},
                "sae": {"source": "authors", "path": str(sae)},
                "collect": {"protocol": protocol, "chunk": 16},
                "rule": {**rule, "support": 1},
                "generator": chat,
                "annotator": chat,
                "synthesis": {"step1_draws": 2, "step2_draws": 2, "prompts": "paper", "max_tokens": 96},
                "detector": {"mode": "lora", "epochs": 3, "lr": 5e-5, "batch": 16, "max_tokens": 128},
                "corpora": {role: {"source": str(path.parent / f"{role}.jsonl"), "id_column": "id"} for role in texts},
                "study": {"held_out_sets": 1, "held_out_share": 0.5, "seed_samples": 8, "safe_samples": 8},
                "seeds": [42],
            }
        )
    )
    return path


@pytest.mark.parametrize(
    ("family", "protocol"),
    [
        ("llama", "paper"),
        pytest.param("mistral", "paper", marks=pytest.mark.slow),
        pytest.param("qwen2", "paper", marks=pytest.mark.slow),
        pytest.param("llama", "code", marks=pytest.mark.slow),
    ],
)
def test_from_texts_to_a_detector(family, protocol, model_folder, write_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    checkpoint = tmp_path / "TopK7_l2_h64_epoch3.pth"
    write_checkpoint(checkpoint)
    # Behind a fixed prefix of 31 tokens, longer texts are needed for anything to be left.
    ahead = "tell me in plain words how i best go about it if i want to " if protocol == "code" else ""
    texts = {"anchor": [ahead + text for text in ANCHOR], "seed": [ahead + text for text in SEED]}
    with running(Writer()) as writer:
        profile = write_profile(
            tmp_path / "tiny.yaml",
            model=model_folder(family),
            sae=checkpoint,
            url=writer.url,
            texts=texts,
            protocol={"name": protocol},
            rule=RULES[protocol],
        )
        lab = Lab.open(profile, out=tmp_path / "runs")
        assert (lab.subject.hook_name, lab.sae.cfg.metadata.hook_name) == ("blocks.1.hook_resid_post",) * 2

        anchor, seed = (lab.stats(lab.corpus(role)) for role in ("anchor", "seed"))
        assert (anchor.n_samples, seed.n_samples) == (len(ANCHOR), len(SEED))
        assert anchor.made_by["protocol"]["name"] == protocol
        gap = cover(anchor, seed, lab.profile.rule)
        assert 0 < gap.fac < 1
        missing = gap.missing[:6]
        assert len(missing) >= 3

        labels = lab.annotate(anchor, missing)
        named = labels[labels.summary.notna()]
        # Behind a fixed prefix a feature may peak at the first token, whose span in the code's way is empty.
        assert len(named) == len(missing) or protocol == "code"
        assert named.relevant.all() and len(named) > 0
        samples = lab.synthesise(named, anchor, gap.delta)
        written = kept([Sample(*row) for row in samples.itertuples(index=False)])
        assert len(samples) == 4 * len(named) and set(samples.step) == {1, 2}
        assert set(writer.asked) == {"summary", "verdict", "query"}
        assert written or protocol == "code"  # spans that end before the peak need not bring it back
        measured = lab.measure([sample.text for sample in written], missing)
        column = {feature: i for i, feature in enumerate(missing)}
        for row, sample in zip(measured, written, strict=True):
            assert row[column[sample.feature]] == pytest.approx(sample.activation, rel=1e-3)
            assert sample.activation > gap.delta
        if written:
            filled = (measured > gap.delta).sum(0)
            assert gap_coverage(np.arange(len(missing)), filled) >= len({s.feature for s in written}) / len(missing)

        steered = lab.steer(labels, anchor, gap.delta)
        assert set(steered.feature) == set(missing.tolist()) and set(steered.step) == {0}
        assert (steered.strength > 0).all() and (steered.kept == steered.reason.eq("")).all()
        texts_of_it = steered[steered.text.ne("")]
        again = lab.measure(texts_of_it.text.tolist(), texts_of_it.feature.tolist())
        np.testing.assert_allclose(np.diagonal(again), texts_of_it.activation, rtol=1e-3, atol=1e-5)

    toxic = written or [Sample(0, text, 1, step=1, draw=0) for text in texts["anchor"][:4]]
    train = [Row(f"safe-{i}", text, 0) for i, text in enumerate(texts["seed"] * 3)]
    train += [Row(f"toxic-{i}", sample.text, 1) for i, sample in enumerate(toxic)]
    test = [Row(f"test-{i}", text, i % 2) for i, text in enumerate(texts["anchor"][:12])]
    run = train_detector(
        lab.backbone, train, test, lab.profile.detector, seed=42, folder=tmp_path / "detector", progress=False
    )
    assert 0 < run.auprc <= 1 and (run.n_train, run.n_positive) == (len(train), len(toxic))
    adapters = {name for name in (tmp_path / "detector").iterdir() if name.suffix == ".safetensors"}
    assert adapters
    scores = Detector.load(tmp_path / "detector").score([row.text for row in test])
    np.testing.assert_allclose(scores, run.scores, rtol=1e-4, atol=1e-5)

    # Another process, or the same one later, finds what was made; the server is gone.
    again = Lab.open(profile, out=tmp_path / "runs")
    assert again.steer(labels, again.stats(again.corpus("anchor")), gap.delta).equals(steered)
    assert again.synthesise(named, again.stats(again.corpus("anchor")), gap.delta).equals(samples)

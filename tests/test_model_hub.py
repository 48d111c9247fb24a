"""Files of model repositories, from a real server that answers as the hub does."""

import socket
import time
from pathlib import Path

import pytest

from fac_lab import model_hub
from fac_lab.errors import ModelError


def test_a_file_is_fetched_once(local_hub):
    local_hub.files["org/sae", "TopK_l2_.pth"] = b"weights"
    path = model_hub.fetch("org/sae", "TopK_l2_.pth")
    assert path.read_bytes() == b"weights" and path.name == "TopK_l2_.pth"
    assert model_hub.cached("org/sae", "TopK_l2_.pth") == path
    local_hub.seen.clear()
    assert model_hub.fetch("org/sae", "TopK_l2_.pth") == path
    assert "GET" not in [method for method, _ in local_hub.seen]


def test_a_file_in_the_cache_is_found_without_the_hub(local_hub):
    local_hub.files["org/sae", "a.pth"] = b"weights"
    path = model_hub.fetch("org/sae", "a.pth", local_hub.commit)
    local_hub.close()
    assert model_hub.fetch("org/sae", "a.pth", local_hub.commit) == path


def test_asking_downloads_nothing_and_tells_the_size(local_hub):
    local_hub.files["org/sae", "a.pth"] = b"x" * 1234
    answer = model_hub.ask("org/sae", "a.pth")
    assert answer == model_hub.Answer(True, "", size=1234)
    assert [method for method, _ in local_hub.seen] == ["HEAD"]
    assert model_hub.cached("org/sae", "a.pth") is None


@pytest.mark.parametrize(
    ("repo", "file", "revision", "said", "cure"),
    [
        ("org/gated", "a.pth", None, "org/gated is gated", "accept its terms at https://huggingface.co/org/gated"),
        ("org/sae", "b.pth", None, "org/sae has no file b.pth", "look at https://huggingface.co/org/sae/tree/main"),
        ("org/sae", "a.pth", "v9", "org/sae has no revision v9", "https://huggingface.co/org/sae/commits/main"),
        ("org/absent", "a.pth", None, "there is no repository org/absent, or it is private", "check the name"),
        ("org/broken", "a.pth", None, "the hub cannot be reached", "HF_ENDPOINT"),
    ],
)
def test_every_refusal_names_what_is_wrong_and_the_cure(local_hub, repo, file, revision, said, cure):
    local_hub.files["org/sae", "a.pth"] = b"weights"
    local_hub.trouble |= {"org/gated": (403, "GatedRepo"), "org/broken": (500, "")}
    answer = model_hub.ask(repo, file, revision)
    assert answer.ok is (None if repo == "org/broken" else False)
    assert answer.said.startswith(said) and cure in answer.cure
    with pytest.raises(ModelError) as caught:
        model_hub.fetch(repo, file, revision)
    assert str(caught.value).startswith(said) and cure[1:] in str(caught.value)


def test_a_name_that_is_none_is_refused(local_hub):
    with pytest.raises(ModelError, match="cannot be a repository's name.*owner/name"):
        model_hub.fetch("a/b/c", "x.pth")


def test_a_hub_that_is_gone_and_one_that_never_answers(local_hub, monkeypatch):
    local_hub.close()
    assert model_hub.ask("org/sae", "a.pth").ok is None
    with pytest.raises(ModelError, match="hub cannot be reached.*HF_ENDPOINT"):
        model_hub.fetch("org/sae", "a.pth")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        answer = model_hub.ask("org/sae", "a.pth", timeout=0.3)
        assert answer.ok is None and "cannot be reached" in answer.said
        assert time.monotonic() - started < 5


def test_offline_nothing_is_asked(local_hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    answer = model_hub.ask("org/sae", "a.pth")
    assert answer.ok is None and "HF_HUB_OFFLINE" in answer.said and "hf download org/sae" in answer.cure
    with pytest.raises(ModelError, match="not in the hub's cache, and HF_HUB_OFFLINE is set. Unset HF_HUB_OFFLINE"):
        model_hub.fetch("org/sae", "a.pth")
    assert local_hub.seen == []


def test_a_question_has_a_deadline():
    with pytest.raises(TimeoutError, match="no answer within 0.05 s"):
        model_hub.within(0.05, lambda: time.sleep(1))
    assert model_hub.within(5, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        model_hub.within(5, lambda: 1 / 0)


def test_an_sae_on_the_hub_is_the_file_itself(local_hub, tmp_path):
    import torch

    from fac_lab.features.saes import authors_file, load_sae
    from fac_lab.settings import SaeSettings

    torch.manual_seed(0)
    weight = {"W_enc": torch.randn(8, 16), "b_enc": torch.randn(16), "b_dec": torch.randn(8), "mask": torch.ones(16)}
    file = tmp_path / "TopK7_l3_h8_epoch3.pth"
    torch.save({"weight": weight, "config": {"d_inp": 8, "d_hide": 16, "topK": 4}}, file)
    local_hub.files["org/sae_l3", file.name] = file.read_bytes()
    settings = SaeSettings("authors", "org/sae_l3", file=file.name, revision=local_hub.commit)
    sae, same = load_sae(settings), load_sae(SaeSettings("authors", str(file)))
    assert sae.cfg.metadata.hook_name == "blocks.2.hook_resid_post"
    x = torch.randn(5, 8)
    torch.testing.assert_close(sae.encode(x), same.encode(x))
    # A folder here with the same file is taken before the hub.
    assert authors_file(SaeSettings("authors", str(tmp_path), file=file.name)) == file
    with pytest.raises(ModelError, match="org/sae_l3 has no file TopK_absent.pth"):
        load_sae(SaeSettings("authors", "org/sae_l3", file="TopK_absent.pth"))
    assert Path(authors_file(settings)).read_bytes() == file.read_bytes()

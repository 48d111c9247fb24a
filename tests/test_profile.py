import importlib.util
from dataclasses import fields, is_dataclass

import pytest
import yaml

from fac_lab import profile as module
from fac_lab.errors import SettingsError
from fac_lab.plain import build
from fac_lab.profile import Profile, as_dict, load_profile, profile_names, project_root, resolve
from fac_lab.settings import reading, studying, writing


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profiles_load_and_survive_a_round_trip(name):
    profile = load_profile(name)
    assert profile.name == name
    text = yaml.safe_dump(as_dict(profile))
    assert build(Profile, yaml.safe_load(text)) == profile


def test_every_setting_is_documented_in_one_string_under_it():
    import ast
    import inspect

    sources = [inspect.getsource(part) for part in (module, reading, studying, writing)]
    checked = 0
    for cls in (node for text in sources for node in ast.parse(text).body if isinstance(node, ast.ClassDef)):
        for node, below in zip(cls.body, [*cls.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign):
                assert isinstance(below, ast.Expr) and isinstance(below.value.value, str), (
                    cls.name,
                    node.target.id,
                )
                checked += 1
    classes = [value for value in vars(module).values() if isinstance(value, type) and is_dataclass(value)]
    assert checked == sum(len(fields(cls)) for cls in classes)


def test_the_environment_names_the_default(monkeypatch):
    monkeypatch.setenv("FAC_LAB_PROFILE", "minilm")
    assert load_profile().name == "minilm"
    monkeypatch.delenv("FAC_LAB_PROFILE")
    assert load_profile().name == "mini"


def test_a_file_extends_a_shipped_profile_and_changes_only_what_it_names(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: mini\nrule: {quantile: 0.7}\nseeds: [1]\ngenerator: null\n")
    mine, mini = load_profile(tmp_path / "mine.yaml"), load_profile("mini")
    assert (mine.name, mine.rule.quantile, mine.seeds, mine.generator) == ("mine", 0.7, (1,), None)
    assert mine.rule.kind == mini.rule.kind
    assert (mine.subject, mine.corpora, mine.detector) == (mini.subject, mini.corpora, mini.detector)


def test_extends_takes_a_file_beside_the_profile(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: mini\nseeds: [7]\n")
    (tmp_path / "b.yaml").write_text("extends: ./a.yaml\nstudy: {budget: 5}\n")
    profile = load_profile(tmp_path / "b.yaml")
    assert (profile.name, profile.seeds, profile.study.budget) == ("b", (7,), 5)


def test_profiles_that_extend_each_other_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: ./b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: ./a.yaml\n")
    with pytest.raises(SettingsError, match="extends itself: a -> b -> a"):
        load_profile(tmp_path / "a.yaml")


def test_an_unknown_profile_is_answered_with_those_that_exist():
    with pytest.raises(
        SettingsError, match="unknown profile 'smok' .did you mean 'smoke'.*mini, minilm, mistral, qwen, smoke"
    ):
        load_profile("smok")


@pytest.mark.parametrize(
    ("yaml_text", "message"),
    [
        ("rule: {quantil: 0.5}", r"unknown key rule\.quantil \(did you mean 'quantile'\?\)"),
        ("sead: [1]", r"unknown key sead \(did you mean 'seeds'\?\)"),
        ("corpora: {seed: {m: 3}}", r"unknown key corpora\.seed\.m"),
        ("corpora: {sead: {source: mini, n: 3}}", "role in corpora is 'sead'"),
        ("generator: {backend: local, model: null}", r"generator\.model is None; .* of type str"),
        ("collect: {chunk: 2.5}", r"collect\.chunk is 2\.5; it has to be of type int"),
        ("collect: {chunk: true}", r"collect\.chunk is True; it has to be of type int"),
        ("collect: {pool: all}", r"collect\.pool is 'all'; choose one of 'paper', 'content'"),
        ("collect: [1]", "collect has to be a mapping"),
        ("seeds: 42", "seeds has to be a list"),
        ("seeds: [42, 42]", "seeds has repeats"),
        ("rule: {support: 0}", r"rule\.support is 0; it has to be at least 1"),
        ("sae: {source: release, path: x}", r"sae\.sae_id is missing"),
        ("sae: {file: x.pth}", r"sae\.file is 'x\.pth' but sae\.source is 'folder'"),
        ("sae: {source: authors, path: x.pth, revision: abc}", r"sae\.revision is 'abc' without sae\.file"),
        ("generator: {price_prompt: -1}", "price_prompt is -1"),
        ("sae_training: {k: 4096}", "has to exceed k = 4096"),
        ("corpora: {test: {source: x.csv, held_out: 3}}", "held_out needs known concepts"),
        ("corpora: {test: {n: null}}", r"n is missing"),
        ("generator: {base_url: 'http://x'}", "backend: endpoint"),
        ("just text", "not a mapping"),
        ("a: [1", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path_and_the_cure(tmp_path, yaml_text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: mini\n{yaml_text}\n" if ":" in yaml_text else yaml_text)
    with pytest.raises(SettingsError, match=message) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


def test_a_missing_key_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("subject: {path: x}\n")
    with pytest.raises(SettingsError, match="key sae is missing"):
        load_profile(tmp_path / "mine.yaml")
    with pytest.raises(SettingsError, match=r"key subject\.layer is missing"):
        build(module.ModelSettings, {"path": "x"}, "subject")


def test_a_learning_rate_may_be_written_without_a_dot(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: mini\ndetector: {lr: 5e-5, epochs: 2}\n")
    detector = load_profile(tmp_path / "mine.yaml").detector
    assert detector.lr == 5e-5 and type(detector.epochs) is float


def test_paths_resolve_against_the_project_root_and_hub_names_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("FAC_LAB_HOME", str(tmp_path))
    (tmp_path / "data" / "model").mkdir(parents=True)
    assert project_root() == tmp_path
    assert resolve("data/model") == str(tmp_path / "data/model")
    assert resolve("data/mistyped") == str(tmp_path / "data/mistyped")
    assert resolve("data/mini/llama") == str(tmp_path / "data/mini/llama")
    assert resolve("runs/sae.pth") == str(tmp_path / "runs/sae.pth")
    assert resolve(tmp_path / "x") == str(tmp_path / "x")
    assert resolve("gpt2") == "gpt2"
    assert resolve("meta-llama/Llama-3.1-8B-Instruct") == "meta-llama/Llama-3.1-8B-Instruct"


def test_a_package_path_is_a_folder_of_an_installed_package(tmp_path, monkeypatch):
    (tmp_path / "some_model_wheel" / "model").mkdir(parents=True)
    (tmp_path / "some_model_wheel" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("pkg:some_model_wheel/model") == str(tmp_path / "some_model_wheel" / "model")
    with pytest.raises(SettingsError, match="does not exist"):
        resolve("pkg:some_model_wheel/weights")
    with pytest.raises(SettingsError, match="no installed package 'no_such_wheel'"):
        resolve("pkg:no_such_wheel")


def test_an_absent_model_package_is_cured_by_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'fac-lab\[minilm\]'"):
        resolve(load_profile("minilm").subject.path)


@pytest.mark.parametrize(
    ("name", "model", "papers_layer", "width"),
    [
        ("llama", "meta-llama/Llama-3.1-8B-Instruct", 16, 4096),
        ("mistral", "mistralai/Mistral-7B-Instruct-v0.2", 16, 4096),
        ("qwen", "Qwen/Qwen2-7B-Instruct", 14, 3584),
    ],
)
def test_the_papers_profiles_have_the_papers_settings(name, model, papers_layer, width):
    profile = load_profile(name)
    subject, sae, detector = profile.subject, profile.sae, profile.detector
    assert (subject.path, subject.layer, subject.dtype, subject.template) == (
        model,
        papers_layer - 1,
        "bfloat16",
        "chat",
    )
    # The file's name says the layer, counted from 1, from which the loader takes the hook, and the width.
    assert sae.source == "authors" and sae.top_k
    assert sae.path == f"Zhongzhi1228/sae_{name}_l{papers_layer}_h65536"
    assert f"_l{papers_layer}_h{width}_" in sae.file
    assert (profile.rule.kind, profile.rule.delta, profile.rule.support) == ("absolute", 0.0, 1)
    assert (profile.collect.top_spans, profile.collect.span_tokens, profile.collect.pool) == (10, 32, "paper")
    assert (detector.mode, detector.epochs, detector.lr, detector.batch) == ("lora", 3, 5e-5, 16)
    assert (detector.r, detector.alpha, detector.dropout, detector.max_tokens) == (8, 16, 0.1, 512)
    assert (profile.generator.model, profile.annotator.model) == ("meta-llama/Llama-3.1-8B-Instruct", "gpt-4o-mini")
    assert (profile.synthesis.temperature, profile.synthesis.top_p, profile.synthesis.prompts) == (0.8, 0.9, "paper")
    assert (profile.synthesis.step1_draws, profile.synthesis.step2_draws) == (2, 2)
    assert (profile.study.safe_samples, profile.study.budget, profile.seeds) == (1000, 200, (42, 43, 44))


def test_gpt2_reads_the_layer_of_its_public_sae():
    profile = load_profile("gpt2")
    assert (profile.sae.path, profile.sae.sae_id) == ("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
    assert (profile.subject.layer, profile.subject.template) == (7, "none")
    assert profile.seeds == (42, 43, 44) and profile.generator.base_url is None


def test_no_shipped_profile_claims_a_price():
    for name in profile_names():
        profile = load_profile(name)
        for chat in (profile.generator, profile.annotator):
            assert chat is None or (chat.price_prompt, chat.price_completion) == (None, None)


def test_loopback_addresses():
    for url in ("http://localhost:8000/v1", "http://127.0.0.2/v1", "http://[::1]:8000"):
        assert module.is_loopback(url)
    for url in (None, "", "https://api.openai.com/v1", "http://192.168.1.2/v1", "http://localhost.example.org"):
        assert not module.is_loopback(url)

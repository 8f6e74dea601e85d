"""What `temper.toml` may say of tools, and what is said of it when it says something else."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from temper.runtime.tools import ADAPTERS, Declared, Problem, load_tools
from temper.runtime.vault import Vault

DECLARED = {"pager.page": Declared(params=("service", "text"), results=("ticket",))}
ENVIRONMENT = {"PAGER_TOKEN": "canary-1", "EMPTY": ""}

PAGER = """
[tools."pager.page"]
adapter = "http"
method = "POST"
url = "https://hooks.example.com/{service}"
headers = { Authorization = "Bearer {secret:PAGER_TOKEN}" }
json = { text = "{text}" }
result = { ticket = "id" }
success = [200, 201, 202]
egress = ["hooks.example.com:443"]
max_answer_bytes = 1_048_576
"""


def problems_in(toml: str, declared: dict[str, Declared] = DECLARED) -> list[Problem]:
    adapters, problems = load_tools(tomllib.loads(toml), declared, Vault(ENVIRONMENT))
    assert ("pager.page" in adapters) == (problems == [])
    assert not [problem for problem in problems if "canary" in repr(problem)]
    return problems


def test_the_adapters_are_known_by_name() -> None:
    assert list(ADAPTERS) == ["http", "kubernetes", "mcp", "process"]


def test_settings_that_are_in_order() -> None:
    assert problems_in(PAGER) == []


def test_other_tables_are_somebody_elses_business() -> None:
    assert problems_in(f"[server]\nport = 1\n{PAGER}") == []


def with_line(line: str) -> str:
    """The pager's settings with the line for this key replaced, or added."""
    key = line.partition(" ")[0]
    kept = [old for old in PAGER.strip().splitlines() if not old.startswith(f"{key} ")]
    return "\n".join([*kept, line])


def without(key: str) -> str:
    return "\n".join(old for old in PAGER.strip().splitlines() if not old.startswith(f"{key} "))


AT = 'tools."pager.page"'


@pytest.mark.parametrize(
    ("toml", "where", "text", "help"),
    [
        (with_line('adapter = "htp"'), f"{AT}.adapter", "`htp` is not known here", "did you mean `http`?"),
        (without("adapter"), AT, "`adapter` is missing", "give a text"),
        (with_line("adapter = 3"), f"{AT}.adapter", "this is not a text", "give a text"),
        (without("method"), AT, "`method` is missing", "give a text"),
        (with_line('method = "post"'), f"{AT}.method", "`post` is not known here", "did you mean `POST`?"),
        (without("url"), AT, "`url` is missing", "give a text"),
        (with_line('heders = { X = "y" }'), f"{AT}.heders", "unknown setting `heders`", "did you mean `headers`?"),
        (with_line("headers = { X = 3 }"), f"{AT}.headers", "this is not a table of texts", "give a table of texts"),
        (with_line('headers = { Host = "x" }'), f"{AT}.headers.Host", "`Host` can't be set here",
         "take it out: the adapter writes it"),
        (with_line('headers = { A = "{secret:NOBODY}" }'), f"{AT}.headers.A",
         "the secret `NOBODY` is not in the environment",
         "set `NOBODY` where the server starts, or say under `[secrets]` where it is"),
        (with_line('headers = { A = "{secret:EMPTY}" }'), f"{AT}.headers.A",
         "the secret `EMPTY` is not in the environment",
         "set `EMPTY` where the server starts, or say under `[secrets]` where it is"),
        (with_line('json = { text = "{txt}" }'), f"{AT}.json.text", "`txt` is no parameter of `pager.page`",
         "did you mean `text`?"),
        (with_line('json = { a = [1, { b = "{zzz}" }] }'), f"{AT}.json.a[1].b", "`zzz` is no parameter of `pager.page`",
         "its parameters are `service`, `text`"),
        (with_line('json = { text = "{a.b}" }'), f"{AT}.json.text",
         "`{a.b}` is neither an argument, `{order}` nor `{secret:NAME}`",
         "`{argument}`, `{order}` and `{secret:NAME}` are filled; write `{{` for a brace"),
        (with_line("json = { at = 2026-01-01 }"), f"{AT}.json.at", "this is not a JSON value", "write it as a text"),
        (with_line("json = { at = nan }"), f"{AT}.json.at", "this is not a JSON value", "write it as a text"),
        (with_line('form = { a = "b" }'), f"{AT}.form", "there is a `json` already", "keep one of them"),
        (with_line('method = "GET"'), AT, "GET sends no body", "put what it asks for into the url"),
        (with_line('result = { ticket = "a..b" }'), f"{AT}.result.ticket", "`a..b` is not a path",
         "write it as in `items[0].id`"),
        (with_line("result = {}"), f"{AT}.result", "nothing gives `ticket`, which `pager.page` answers",
         "add its path in the answer's JSON"),
        (with_line('result = { ticket = "id", tickte = "id" }'), f"{AT}.result.tickte",
         "`tickte` is no result of `pager.page`", "did you mean `ticket`?"),
        (with_line("success = [20]"), f"{AT}.success", "this is not a list of codes from 200 to 599",
         "give a list of codes from 200 to 599"),
        (with_line("max_answer_bytes = 0"), f"{AT}.max_answer_bytes", "this is not a whole number above 0",
         "give a whole number above 0"),
        (with_line('redirects = "yes"'), f"{AT}.redirects", "this is not `true` or `false`", "give `true` or `false`"),
        (with_line('egress = ["example.com"]'), f"{AT}.egress", "`example.com` is not `host:port`",
         "write `hooks.example.com:443`, or `10.0.0.0/8:443`"),
        (with_line('egress = ["other.example.com:443"]'), f"{AT}.egress",
         "`hooks.example.com:443`, the url's own host, is not listed", "add `hooks.example.com:443`"),
        (with_line('url = "https://{service}.example.com/"'), f"{AT}.url", "a template can't decide the host",
         "write the host out; fill in what follows it"),
        (with_line('url = "https://u:p@hooks.example.com/"'), f"{AT}.url", "a user in a url would be shown",
         "use `headers` with `{secret:NAME}`"),
        (with_line('url = "ftp://hooks.example.com/"'), f"{AT}.url",
         "`ftp://hooks.example.com/` is not a url with http or https, without a fragment", "write `https://host/path`"),
        (with_line('url = "https:///x"'), f"{AT}.url", "`` is not a host", "write `https://host/path`"),
        (with_line('url = "https://hooks.example.com/a b"'), f"{AT}.url",
         "only printable ASCII without spaces may stand in a url", "percent-encode what is not"),
        (with_line('ca_file = "/nobody.pem"'), f"{AT}.ca_file",
         "no certificates can be read from `/nobody.pem`: [Errno 2] No such file or directory",
         "give a file in PEM form"),
        ("tools = 3", "tools", "this is not a table", "write `[tools.NAME]`"),
        ('[tools]\n"pager.page" = 3', AT, "this is not a table", 'write `[tools."pager.page"]`'),
        (f"[adapters.smoke]\n{PAGER}", "adapters.smoke", "there is no adapter `smoke`",
         "adapters are `http`, `kubernetes`, `mcp`, `process`"),
    ],
)  # fmt: skip
def test_problems(toml: str, where: str, text: str, help: str) -> None:
    found = load_tools(tomllib.loads(toml), DECLARED, Vault(ENVIRONMENT))[1]
    assert Problem(where, text, help) in found
    assert len(found) == 1, found


def test_a_private_url_has_to_be_listed() -> None:
    toml = without("egress").replace("https://hooks.example.com", "http://127.0.0.1:8080")
    [problem] = problems_in(toml)
    assert problem.where == f"{AT}.url"
    assert problem.help == 'allow it with `egress = ["127.0.0.1:8080"]`'
    assert problems_in(f'{toml}\negress = ["127.0.0.1:8080"]') == []


def test_every_problem_is_found_at_once() -> None:
    toml = with_line('method = "PUSH"').replace("{text}", "{txt}").replace("{service}", "{secret:NOBODY}") + "\nx = 1"
    assert [problem.where.removeprefix(AT) for problem in problems_in(toml)] == [".method", ".url", ".json.text", ".x"]


def test_a_declared_tool_that_nothing_is_bound_to() -> None:
    [problem] = problems_in("")
    assert problem == Problem(
        "tools",
        "no adapter is bound to `pager.page`",
        'add `[tools."pager.page"]` with an `adapter`; adapters are `http`, `kubernetes`, `mcp`, `process`',
    )


def test_a_bound_tool_that_no_blueprint_declares_waits_for_one() -> None:
    adapters, problems = load_tools(tomllib.loads(with_line('json = { x = "{anything}" }')), {}, Vault(ENVIRONMENT))
    assert (list(adapters), problems) == (["pager.page"], [])


def test_a_parameter_named_order_is_not_mixed_up_with_the_orders_id() -> None:
    declared = {"pager.page": Declared(params=("order", "text", "service"), results=("ticket",))}
    [problem] = problems_in(with_line('json = { x = "{order}" }'), declared)
    assert problem.help == "rename the parameter in the blueprint"
    assert problems_in(PAGER, declared) == []


# --- kubernetes -------------------------------------------------------------------------------------------------------


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    contexts = [
        {"name": "c", "context": {"cluster": "c", "user": "c"}},
        {"name": "nobody", "context": {"cluster": "c"}},
    ]
    user = {"name": "c", "user": {"token": "canary-2"}}
    file.write_text(json.dumps({"current-context": "c", "clusters": [cluster], "contexts": contexts, "users": [user]}))
    return file


K8S = """
[tools."kubernetes.set_partition"]
adapter = "kubernetes"
operation = "patch"
kind = "apps/v1/StatefulSet"
namespace = "streaming"
name = "{cluster}"
body = { spec = { updateStrategy = { rollingUpdate = { partition = "{partition}" } } } }
until = ["status.readyReplicas == spec.replicas"]
fail_when_pod = ["CrashLoopBackOff"]
result = { ready = "status.readyReplicas" }
"""
K8S_AT = 'tools."kubernetes.set_partition"'
K8S_DECLARED = {"kubernetes.set_partition": Declared(("cluster", "partition"), ("ready",))}


def k8s_problems(cluster: dict[str, Any], toml: str = K8S) -> list[tuple[str, str]]:
    settings = {**tomllib.loads(toml), "adapters": {"kubernetes": cluster}}
    adapters, problems = load_tools(settings, K8S_DECLARED, Vault({}))
    assert (len(adapters) == 1) == (problems == [])
    assert not [problem for problem in problems if "canary" in repr(problem)]
    return [(problem.where, problem.text) for problem in problems]


def test_a_cluster_that_is_in_order(kubeconfig: Path) -> None:
    assert k8s_problems({"kubeconfig": str(kubeconfig)}) == []
    assert k8s_problems({"kubeconfig": str(kubeconfig), "context": "c"}) == []


def test_clusters_that_are_not(kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = "adapters.kubernetes"
    broken = tmp_path / "broken"
    broken.write_text("users: [canary-3")
    assert k8s_problems({}) == [(at, "no cluster is named")]
    assert k8s_problems({"kubeconfig": "x", "in_cluster": True}) == [(at, "both `kubeconfig` and `in_cluster` are set")]
    [(where, text)] = k8s_problems({"kubeconfig": str(tmp_path / "nobody")})
    assert (where, "not found" in text) == (f"{at}.kubeconfig", True)
    [(where, text)] = k8s_problems({"kubeconfig": str(kubeconfig), "context": "other"})
    assert (where, "'other' not found" in text) == (f"{at}.kubeconfig", True)
    assert k8s_problems({"kubeconfig": str(kubeconfig), "context": "nobody"}) == [
        (f"{at}.kubeconfig", "its context names no user")
    ]
    [(where, text)] = k8s_problems({"kubeconfig": str(broken)})
    assert (where, text.startswith("it can't be read")) == (f"{at}.kubeconfig", True)
    [(where, _)] = k8s_problems({"in_cluster": True})
    assert where == f"{at}.in_cluster"
    assert k8s_problems({"kubeconfig": str(kubeconfig), "contxt": "c"}) == [
        (f"{at}.contxt", "unknown setting `contxt`")
    ]
    monkeypatch.setitem(sys.modules, "lightkube.config.kubeconfig", None)
    assert k8s_problems({"kubeconfig": str(kubeconfig)}) == [(at, "the Kubernetes client is not installed")]


@pytest.mark.parametrize(
    ("old", "new", "where", "text"),
    [
        ('operation = "patch"', 'operation = "put"', f"{K8S_AT}.operation", "`put` is not known here"),
        ('operation = "patch"', 'operation = "get"', f"{K8S_AT}.body", "`get` sends no body"),
        ("apps/v1/StatefulSet", "StatefulSet", f"{K8S_AT}.kind", "`StatefulSet` is not `group/version/Kind`"),
        ('name = "{cluster}"', 'name = "{clutser}"', f"{K8S_AT}.name",
         "`clutser` is no parameter of `kubernetes.set_partition`"),
        ('name = "{cluster}"\n', "", K8S_AT, "`name` is missing"),
        ("body = {", 'patch = "json"\nbody = {', f"{K8S_AT}.patch", "`json` is not known here"),
        ("status.readyReplicas ==", "status.readyReplicas =", f"{K8S_AT}.until[0]",
         "`status.readyReplicas = spec.replicas` is not a condition"),
        ("== spec.replicas", "== {n}", f"{K8S_AT}.until[0]", "`n` is no parameter of `kubernetes.set_partition`"),
        ('until = ["status.readyReplicas == spec.replicas"]\n', "", f"{K8S_AT}.fail_when_pod", "nothing is waited for"),
        ("fail_when_pod", 'poll = "soon"\nfail_when_pod', f"{K8S_AT}.poll",
         "this is not a duration such as `500ms`, `2s` or `1m`"),
        ("namespace", "cluster_scoped = true\nnamespace", f"{K8S_AT}.namespace",
         "a kind of the whole cluster has no namespace"),
        ("namespace", 'plural = "../x"\nnamespace', f"{K8S_AT}.plural", "`../x` is not a name in a url of the API"),
    ],
)  # fmt: skip
def test_kubernetes_problems(kubeconfig: Path, old: str, new: str, where: str, text: str) -> None:
    assert old in K8S
    assert k8s_problems({"kubeconfig": str(kubeconfig)}, K8S.replace(old, new, 1)) == [(where, text)]


def test_without_a_tool_that_needs_it_the_kubernetes_client_is_not_imported() -> None:
    code = (
        "import sys\nfrom temper.runtime.tools import load_tools\nfrom temper.runtime.vault import Vault\n"
        "load_tools({'adapters': {'kubernetes': {'kubeconfig': 'x'}}}, {}, Vault({}))\n"
        "print('lightkube' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"

"""Limits and prices as they are written, and the variable that sets one of them."""

from pathlib import Path

import pytest

from dagi.access.limits import Quota
from dagi.assemble.limits import read_terms
from dagi.config import Loaded, as_text, load, packaged_prices, prices_in_force
from dagi.errors import ConfigError
from dagi.message import Usage


def loaded(folder: Path, text: str = "", **environ: str) -> Loaded:
    (folder / "my.yml").write_text(text, encoding="utf-8")
    return load("dev", Path("my.yml"), environ=environ, cwd=folder)


def test_rate_limit_rpm_is_the_users_requests_a_minute_above_files_and_below_its_own_variable(tmp_path: Path) -> None:
    written = "limits: {user: {rpm: 5}, key: {rpm: 7}}"
    assert loaded(tmp_path, written).settings.limits.user.rpm == 5
    by_alias = loaded(tmp_path, written, RATE_LIMIT_RPM="60")
    assert (by_alias.settings.limits.user.rpm, by_alias.settings.limits.key.rpm, by_alias.settings.limits.dao.rpm) == (60, 7, None)
    assert "env RATE_LIMIT_RPM" in as_text(by_alias, with_origin=True)
    assert loaded(tmp_path, written, RATE_LIMIT_RPM="60", DAGI__LIMITS__USER__RPM="90").settings.limits.user.rpm == 90
    assert loaded(tmp_path, written, RATE_LIMIT_RPM="null").settings.limits.user.rpm is None


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_rate_that_is_none_is_told_with_the_variable_that_holds_it(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"env RATE_LIMIT_RPM limits\.user\.rpm"):
        loaded(tmp_path, RATE_LIMIT_RPM=value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("limits: {users: {rpm: 1}}", 'did you mean "user"'),
        ("limits: {user: {rpm: 0}}", "must be at least 1"),
        ("limits: {dao: {money_per_month: -1}}", "must be at least 0"),
        ("limits: {dao: {money_per_month: .inf}}", "limits.dao.money_per_month"),
        ("limits: {url: 'http://x'}", "must begin with redis://"),
        ("prices: {currency: dollars}", "three capital letters"),
        ("prices: {models: [{model: x, input: 1}]}", "output"),
    ],
)
def test_mistakes_are_told_with_line_and_what_to_write(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        loaded(tmp_path, text)
    assert "my.yml:1" in caught.value.message


def test_limits_become_whole_millionths_and_the_servers_password_is_not_shown(tmp_path: Path) -> None:
    found = loaded(tmp_path, "limits: {user: {rpm: 5}, dao: {money_per_month: 12.34, tokens_per_day: 9}, url: 'redis://:hidden@host/0'}")
    terms = read_terms(found.settings, ())
    assert (terms.key, terms.user, terms.dao) == (Quota(), Quota(rpm=5), Quota(money_per_month=12_340_000, tokens_per_day=9))
    assert "hidden" not in as_text(found)
    assert "hidden" not in repr(found.settings)


def test_own_prices_come_before_the_packaged_ones_which_count_in_their_own_currency_alone(tmp_path: Path) -> None:
    models = "models: [{model: 'gpt-5-mini*', input: 1, output: 1}, {model: mine, provider: p, input: 2, output: 2}]"
    own = loaded(tmp_path, f"prices: {{{models}}}").settings.prices
    assert len(prices_in_force(own)) == 2 + len(packaged_prices().models)
    assert prices_in_force(own)[0].input == 1
    assert len(prices_in_force(loaded(tmp_path, f"prices: {{currency: EUR, {models}}}").settings.prices)) == 2


def test_the_packaged_remote_providers_have_a_price(tmp_path: Path) -> None:
    from dagi.assemble.providers import read_providers

    found = loaded(tmp_path)
    prices = read_terms(found.settings, read_providers(found)).prices
    assert [prices.knows(name) for name in ("llm_remote_openai", "llm_remote_deepseek", "llm_local_qwen3_8b")] == [True, True, False]
    assert prices.cost("llm_remote_openai", "", Usage(prompt_tokens=1000)) == 250


def test_a_password_everybody_knows_does_not_start_in_production(tmp_path: Path) -> None:
    found = loaded(tmp_path, "environment: production\ndao: {demo: false}\nlimits: {url: 'redis://:secret@host/0'}")
    assert any("limits.url" in line for line in found.unsafe())

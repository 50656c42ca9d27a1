"""Configuration: YAML, profile and environment become one frozen `Settings`. The only reader of the environment.

::

    loaded = load(profile="dev", path=None)             # ConfigError tells every mistake at once, one line each
    loaded.settings.server.port
    loaded.environment.secret(provider.config)          # through api_key_env / api_key_file; None: not configured
    loaded.origins.mark("llm_providers[1].config")      # Mark(file, line)
    raise loaded.origins.error([("llm_providers[1].config.base_url", "must be an http(s) address")])
    loaded.unsafe()                                     # why staging or production must not start

Layers, from low to high: packaged `defaults.yml`, the profile, `--config`, `DAGI__SECTION__KEY` variables, options of the command
line. Mappings merge, `llm_providers` and `chains` merge by name, every other list is replaced. A mistake reads
`config/profiles/dev.yml:12 llm_providers[0].typ: unknown key; did you mean "type"? Allowed: config, name, selectable, type`.

| file | what it holds |
| --- | --- |
| `schema` | every key with type, bounds and default |
| `loading` | `load`: the layers in order |
| `reading`, `composing`, `scalars` | one YAML file to a tree with marks, within bounds |
| `marks`, `origins` | where a value was written |
| `merging`, `variables` | one layer over another; `DAGI__…` as a layer |
| `schema`'s `section`, `identity_schema` | what sections have in common; those about chains and accounts outside |
| `environment` | the captured environment, `.env`, secrets |
| `validation`, `mistakes` | tree to `Settings`; how a mistake is told |
| `prices` | the packaged table of prices (`prices.yml`), and the operator's own before it |
| `safety` | what must not be in force in production |
| `differing` | what differs between two configurations |
| `showing` | what is in force and where it came from |
"""

from dagi.config.differing import ABSENT, Change, differences
from dagi.config.environment import Environment
from dagi.config.loading import DEFAULT_PROFILE, Loaded, load, profiles
from dagi.config.marks import Mark, within
from dagi.config.mistakes import choice, unknown_key
from dagi.config.origins import Origins
from dagi.config.prices import packaged_prices, prices_in_force
from dagi.config.schema import Provider, Settings
from dagi.config.showing import as_data, as_text, origins_data

__all__ = (
    "ABSENT",
    "DEFAULT_PROFILE",
    "Change",
    "Environment",
    "Loaded",
    "Mark",
    "Origins",
    "Provider",
    "Settings",
    "as_data",
    "as_text",
    "choice",
    "differences",
    "load",
    "origins_data",
    "packaged_prices",
    "prices_in_force",
    "profiles",
    "unknown_key",
    "within",
)

"""Keys that several kinds of model server have in common."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    else:
        if parts.username is not None:
            raise ValueError("must not hold credentials; use api_key_env or api_key_file")
        valid = valid and not parts.query and not parts.fragment
    if not valid:
        raise ValueError("must be an http or https URL without query, such as http://localhost:8080/v1")
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]


class ModelSettings(BaseModel):
    """What every model server's configuration has.

    Attributes:
        embedding_model: the same server's model that makes vectors, offered to whoever may chat; None offers none.
        max_tokens: length of the answer in tokens, where the caller sets none.
        vision: the model sees images.
        api_key_env, api_key_file: where the key is; the composition root reads it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: BaseUrl
    model: str = Field(min_length=1)
    embedding_model: str | None = Field(default=None, min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    vision: bool = False
    api_key_env: str | None = None
    api_key_file: str | None = None

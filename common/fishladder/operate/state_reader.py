"""What commands that only read have in common: the argument and options that say which cameras of which state store are
meant. Reading itself is `fishladder.view`'s business.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fishladder.runtime.embedded import default_urls
from fishladder.runtime.secret_files import SecretOption
from fishladder.wire.errors import WireError
from fishladder.wire.ids import check_camera, check_name


def state_url(redis: str | None, data_dir: Path | None) -> str:
    """The URL --redis gives, else that of a gateway on this host. Raises `StoreUnavailable`."""
    return redis or default_urls(data_dir).state


def check_which(_: click.Context, __: click.Parameter, which: str | None) -> str | None:
    """Click callback of the argument [CAMERA|SITE]."""
    if which is not None:
        try:
            check_camera(which) if "/" in which else check_name(which, "site")
        except WireError as error:
            raise click.BadParameter(str(error)) from None
    return which


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which store (`redis`, `data_dir`)."""
    for add in (
        click.option(
            "--redis",
            cls=SecretOption,
            envvar="FISHLADDER_REDIS",
            help="State store URL  [default: a gateway's on this host]",
        ),
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            help="Data directory of the gateway on this host.",
        ),
    ):
        command = add(command)
    return command


def reader_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument [CAMERA|SITE] (`which`) and the options of the store."""
    which = click.argument("which", required=False, metavar="[CAMERA|SITE]", callback=check_which)
    return store_options(which(command))

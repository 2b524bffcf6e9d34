"""Every error fishladder raises on purpose.

    FishladderError
    +-- ConfigError         a setting, flag or file the user gave is wrong; the message names it
    +-- MissingExtra        a part is not installed; the message says which extra brings it
    +-- WireError           bytes from a peer do not follow the contract
    |   +-- VersionMismatch the peer speaks no version we speak
    |   +-- TooLarge        a message, unit or batch is over its limit
    +-- StoreError          Redis or Valkey cannot do what is asked
    |   +-- StoreUnavailable it cannot be reached, or is still loading
    |   +-- StoreFull       it is at its memory limit
    |   +-- StoreMismatch   it holds another schema, or another number of partitions
    +-- CameraError         a camera cannot be opened or read; the supervisor tries again
    +-- UplinkError         the gateway cannot be reached or refuses us
    |   +-- UplinkDown      nobody answers: the link, or the gateway, is away
    |   +-- AuthRefused     it does not accept the token; trying again without a change is pointless
    +-- ModelError          a model file cannot be used
    +-- AssetError          a model or clip cannot be fetched; the message lists what was tried

The command line prints the message of these and exits with `exit_code`; anything else is a bug and is
shown with its traceback.
"""


class FishladderError(Exception):
    """Base of all errors with a message meant for the user."""

    exit_code = 1


class ConfigError(FishladderError):
    exit_code = 2


class MissingExtra(FishladderError):
    exit_code = 3

    def __init__(self, command: str, extra: str, module: str) -> None:
        super().__init__(
            f"`fishladder {command}` needs {module}, which is not installed: pip install 'fishladder[{extra}]'"
        )
        self.extra = extra


class WireError(FishladderError):
    pass


class VersionMismatch(WireError):
    pass


class TooLarge(WireError):
    pass


class StoreError(FishladderError):
    exit_code = 3


class StoreUnavailable(StoreError):
    pass


class StoreFull(StoreError):
    pass


class StoreMismatch(StoreError):
    pass


class CameraError(FishladderError):
    pass


class UplinkError(FishladderError):
    pass


class UplinkDown(UplinkError):
    pass


class AuthRefused(UplinkError):
    pass


class ModelError(FishladderError):
    exit_code = 2


class AssetError(FishladderError):
    exit_code = 3

"""What ends a load test other than well, with the exit status it has.

FishladderError
+-- CannotEmulate      3   this machine lacks what emulation needs; the message names it
+-- NotReachable       3   the user's own gateway does not answer, or does not let us in
+-- SelfTestInvalid    3   the emulated link is not the link that was asked for
+-- Inconclusive       4   no answer: too few seeds, or the generator was the limit
+-- AssertionMissed   99   an --assert of the user does not hold
"""

from fishladder.wire.errors import FishladderError


class CannotEmulate(FishladderError):
    exit_code = 3


class NotReachable(FishladderError):
    exit_code = 3


class SelfTestInvalid(FishladderError):
    exit_code = 3


class Inconclusive(FishladderError):
    exit_code = 4


class AssertionMissed(FishladderError):
    exit_code = 99

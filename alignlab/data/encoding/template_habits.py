"""What a chat template does with system turns and dates, learned from probes."""

import logging
import re
from datetime import datetime

from alignlab.data.encoding.rendering import Refusal, Rendering, turn

log = logging.getLogger(__name__)

PROBE = "Be brief."
FORMS = re.compile(r"""strftime_now\(\s*["']([^"']+)["']""")
"""The formats in which a template asks for the date."""
DIALOGUE = [turn("user", "Sky?"), turn("assistant", "Blue."), turn("user", "Sea?")]
ANSWER = turn("assistant", "Blue, too.")


def misplaces_system(render: Rendering) -> bool:
    """Whether a template has no lasting place for a system turn: it refuses it, leaves it out, or moves it.

    A place lasts if the text of a prompt holds the system turn where the text of prompt and response holds it.
    """
    system = turn("system", PROBE)
    try:
        asked = [
            text.find(PROBE)
            for text in render([[system, *DIALOGUE[:1]], [system, *DIALOGUE]], add_generation_prompt=True)
        ]
        whole = [
            text.find(PROBE)
            for text in render([[system, *DIALOGUE[:1], ANSWER], [system, *DIALOGUE, ANSWER]])
        ]
        if asked == whole and -1 not in asked:
            return False
    except Refusal as refusal:
        log.debug("a system turn: %s", refusal)
    try:
        render([DIALOGUE])
    except Refusal:  # it refuses everything, which is told with the row
        return False
    return True


def writes_the_day(render: Rendering) -> bool:
    """Whether a template writes the date of the day into prompts."""
    forms = FORMS.findall(str(render.tokenizer.chat_template))
    try:
        text = render.one(DIALOGUE[:1], add_generation_prompt=True) if forms else ""
    except Refusal:
        return False
    return any(datetime.now().strftime(form) in text for form in forms)

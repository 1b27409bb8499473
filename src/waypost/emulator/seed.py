"""The demo world: the same on every start, so that documentation and tests can name it."""

from typing import Any, Final, NamedTuple

from waypost.emulator.phone_state import Phone, user_id_of
from waypost.emulator.world import App, Number, Portfolio, Template, Token, Waba, World

Wire = dict[str, Any]


class Demo(NamedTuple):
    """Constants of the demo world. None of them is a secret of anybody."""

    portfolio_id: str = "506100000000001"
    waba_id: str = "102290000000001"
    app_id: str = "670800000000001"
    app_secret: str = "emulator-app-secret-0123456789abcdef"  # noqa: S105 - the demo\'s own
    verify_token: str = "emulator-verify-token"  # noqa: S105 - the demo\'s own
    access_token: str = "EAAEmulatorDemoToken0000000000000000000000000000"  # noqa: S105 - the demo\'s own
    number_id: str = "106540000000001"
    number_digits: str = "4915550000001"
    phone_digits: str = "4915550001111"
    phone_name: str = "Ada Demo"


DEMO: Final = Demo()


def _text_of(words: str, *examples: str) -> Wire:
    body: Wire = {"type": "BODY", "text": words}
    if examples:
        body["example"] = {"body_text": [list(examples)]}
    return body


_TEMPLATES: Final[list[tuple[str, str, str, str, list[Wire]]]] = [
    (
        "hello_world", "en_US", "UTILITY", "POSITIONAL",
        [{"type": "HEADER", "format": "TEXT", "text": "Hello World"},
         _text_of("Welcome! This message proves that your number can send."),
         {"type": "FOOTER", "text": "Waypost emulator"}],
    ),
    (
        "order_update", "en_US", "UTILITY", "POSITIONAL",
        [_text_of("Hi {{1}}, your order {{2}} has left our warehouse.", "Ada", "A-1001"),
         {"type": "BUTTONS", "buttons": [
             {"type": "URL", "text": "Track it", "url": "https://shop.example/track/{{1}}",
              "example": ["https://shop.example/track/A-1001"]}]}],
    ),
    (
        "spring_offer", "en_US", "MARKETING", "POSITIONAL",
        [{"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::demo"]}},
         _text_of("{{1}}, take {{2}} off until Sunday.", "Ada", "20 %"),
         {"type": "FOOTER", "text": "Reply STOP to end offers"},
         {"type": "BUTTONS", "buttons": [
             {"type": "QUICK_REPLY", "text": "Tell me more"},
             {"type": "QUICK_REPLY", "text": "Stop"}]}],
    ),
    (
        "login_code", "en_US", "AUTHENTICATION", "POSITIONAL",
        [{"type": "BODY", "text": "*{{1}}* is your verification code.", "add_security_recommendation": True,
          "example": {"body_text": [["123456"]]}},
         {"type": "FOOTER", "text": "This code expires in 10 minutes.", "code_expiration_minutes": 10},
         {"type": "BUTTONS", "buttons": [
             {"type": "URL", "text": "Copy code", "url": "https://www.whatsapp.com/otp/code/?code=otp{{1}}",
              "example": ["https://www.whatsapp.com/otp/code/?code=otp123456"]}]}],
    ),
    (
        "appointment_named", "en_US", "UTILITY", "NAMED",
        [{"type": "BODY", "text": "Dear {{first_name}}, we expect you on {{day}}.",
          "example": {"body_text_named_params": [
              {"param_name": "first_name", "example": "Ada"}, {"param_name": "day", "example": "Monday"}]}}],
    ),
    (
        "intro_catalog_offer", "en_US", "MARKETING", "POSITIONAL",
        [_text_of("Buy for {{1}}, pay {{2}}, and get {{3}} extra.", "100", "90", "3"),
         {"type": "BUTTONS", "buttons": [{"type": "CATALOG", "text": "View catalog"}]}],
    ),
    (
        "sample_issue_resolution", "en_US", "UTILITY", "POSITIONAL",
        [_text_of("{{1}}, could we solve your issue?", "Ada"),
         {"type": "BUTTONS", "buttons": [
             {"type": "QUICK_REPLY", "text": "Yes"}, {"type": "QUICK_REPLY", "text": "No"}]}],
    ),
]  # fmt: skip


def seed_demo(world: World, callback_url: str | None = None) -> None:
    """Fill a world with the demo's objects."""
    world.portfolios[DEMO.portfolio_id] = Portfolio(DEMO.portfolio_id, "Demo Portfolio")
    world.wabas[DEMO.waba_id] = Waba(DEMO.waba_id, DEMO.portfolio_id, "Demo WABA")
    world.apps[DEMO.app_id] = App(DEMO.app_id, "Demo App", DEMO.app_secret, DEMO.verify_token, callback_url)
    world.wabas[DEMO.waba_id].subscriptions[DEMO.app_id] = None
    world.tokens[DEMO.access_token] = Token(DEMO.access_token, DEMO.app_id)
    add_number(world, DEMO.number_id, DEMO.waba_id, DEMO.number_digits, "Waypost Demo")
    for order, (name, language, category, parameter_format, components) in enumerate(_TEMPLATES, start=1):
        template_id = str(594000000000000 + order)
        world.templates[template_id] = Template(
            id=template_id,
            waba_id=DEMO.waba_id,
            name=name,
            language=language,
            category=category,
            components=components,
            parameter_format=parameter_format,
            quality="GREEN",
        )
    world.add_phone(
        Phone(
            key=DEMO.phone_digits,
            digits=DEMO.phone_digits,
            user_id=user_id_of(DEMO.portfolio_id, DEMO.phone_digits),
            name=DEMO.phone_name,
            username="ada.demo",
        )
    )


def add_number(world: World, number_id: str, waba_id: str, digits: str, verified_name: str) -> Number:
    """Add a registered business number."""
    number = Number(id=number_id, waba_id=waba_id, digits=digits, verified_name=verified_name)
    number.profile = {"about": "Demo business", "messaging_product": "whatsapp", "vertical": "OTHER"}
    world.numbers[number_id] = number
    return number

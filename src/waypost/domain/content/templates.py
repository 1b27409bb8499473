"""A template message: which template, in which language, and what fills its variables.

Clients spell `type` and `sub_type` of a component in upper or lower case and `index` as number or text; all
mean the same, so they are accepted and kept in lower case and as text. Which parameters fit which
component is a table.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from waypost.domain.content.parts import (
    Currency,
    DocumentSource,
    Json,
    MediaSource,
    Part,
    Required,
    Text24,
    Url,
    between,
    settle,
    unique,
)
from waypost.domain.content.payments import OrderDetails, OrderStatus
from waypost.domain.content.plain import Location


class Parameter(Part, frozen=True, tag_field="type"):
    """Base of what fills a variable, told apart by `type`."""


ParameterName = Annotated[
    str, Meta(min_length=1, max_length=512, description="For templates with named variables.")
]


class TextParameter(Parameter, frozen=True, tag="text"):
    """Text for a variable; also how a one-time code and the end of an address go."""

    text: Annotated[str, Meta(min_length=1, max_length=32_768)]
    parameter_name: ParameterName | None = None


class CurrencyValue(Part, frozen=True):
    """An amount of money; `amount_1000` is a thousand times the amount."""

    fallback_value: Required
    code: Currency
    amount_1000: int


class CurrencyParameter(Parameter, frozen=True, tag="currency"):
    """Money for a variable."""

    currency: CurrencyValue
    parameter_name: ParameterName | None = None


class DateTimeValue(Part, frozen=True):
    """A date as text. Only `fallback_value` is shown; the other parts are old and without effect."""

    fallback_value: Required
    day_of_week: int | str | None = None
    day_of_month: int | None = None
    year: int | None = None
    month: int | None = None
    hour: int | None = None
    minute: int | None = None
    calendar: str | None = None
    timestamp: int | None = None


class DateTimeParameter(Parameter, frozen=True, tag="date_time"):
    """A date for a variable."""

    date_time: DateTimeValue
    parameter_name: ParameterName | None = None


class ImageParameter(Parameter, frozen=True, tag="image"):
    """The image of a header."""

    image: MediaSource


class VideoParameter(Parameter, frozen=True, tag="video"):
    """The video of a header."""

    video: MediaSource


class DocumentParameter(Parameter, frozen=True, tag="document"):
    """The document of a header."""

    document: DocumentSource


class LocationParameter(Parameter, frozen=True, tag="location"):
    """The place of a header."""

    location: Location


class ProductValue(Part, frozen=True):
    """A product of a catalogue."""

    product_retailer_id: Required
    catalog_id: Required


class ProductParameter(Parameter, frozen=True, tag="product"):
    """The product of a header."""

    product: ProductValue


class GroupParameter(Parameter, frozen=True, tag="group_id"):
    """The group whose invite link is shown."""

    group_id: Required


class PayloadParameter(Parameter, frozen=True, tag="payload"):
    """What a quick reply or a call sends back."""

    payload: Annotated[str, Meta(min_length=1, max_length=512)]


class CouponParameter(Parameter, frozen=True, tag="coupon_code"):
    """The code a button copies."""

    coupon_code: Annotated[str, Meta(min_length=1, max_length=20)]


class CallTtlParameter(Parameter, frozen=True, tag="ttl_minutes"):
    """How long a call button works."""

    ttl_minutes: Annotated[int, Meta(ge=1, le=43_200)]


class OfferValue(Part, frozen=True):
    """When an offer ends, in milliseconds since the epoch."""

    expiration_time_ms: Annotated[int, Meta(ge=0)]


class OfferParameter(Parameter, frozen=True, tag="limited_time_offer"):
    """The end of a limited time offer."""

    limited_time_offer: OfferValue


class TapTarget(Part, frozen=True):
    """Where a tap on the message leads."""

    url: Url
    title: Annotated[str, Meta(min_length=1, max_length=1024)]


class TapTargetParameter(Parameter, frozen=True, tag="tap_target_configuration"):
    """Where taps lead."""

    tap_target_configuration: Annotated[list[TapTarget], Meta(min_length=1, max_length=10)]


class OrderStatusParameter(Parameter, frozen=True, tag="order_status"):
    """News of an order."""

    order_status: OrderStatus


class ProductChoice(Part, frozen=True):
    """A product, by the seller's id."""

    product_retailer_id: Required


class ProductChoices(Part, frozen=True):
    """Products under a title."""

    title: Text24
    product_items: Annotated[list[ProductChoice], Meta(min_length=1, max_length=30)]


class ButtonActionValue(Part, frozen=True):
    """What a catalogue, product list, flow or order button opens."""

    thumbnail_product_retailer_id: Required | None = None
    sections: Annotated[list[ProductChoices], Meta(min_length=1, max_length=10)] | None = None
    flow_token: Annotated[str, Meta(max_length=4096)] | None = None
    flow_action_data: dict[str, Json] | None = None
    order_details: OrderDetails | None = None

    def __post_init__(self) -> None:
        if self.sections is not None:
            between(sum(len(section.product_items) for section in self.sections), 1, 30, "products in all")


class ActionParameter(Parameter, frozen=True, tag="action"):
    """What a catalogue, product list, flow or order button opens."""

    action: ButtonActionValue


AnyParameter = (
    TextParameter
    | CurrencyParameter
    | DateTimeParameter
    | ImageParameter
    | VideoParameter
    | DocumentParameter
    | LocationParameter
    | ProductParameter
    | GroupParameter
    | PayloadParameter
    | CouponParameter
    | CallTtlParameter
    | OfferParameter
    | TapTargetParameter
    | OrderStatusParameter
    | ActionParameter
)

ComponentType = Literal[
    "header",
    "body",
    "footer",
    "button",
    "carousel",
    "limited_time_offer",
    "order_status",
    "tap_target_configuration",
]
AnyCaseComponentType = Literal[
    ComponentType,
    "HEADER",
    "BODY",
    "FOOTER",
    "BUTTON",
    "CAROUSEL",
    "LIMITED_TIME_OFFER",
    "ORDER_STATUS",
    "TAP_TARGET_CONFIGURATION",
]
ButtonType = Literal[
    "quick_reply", "url", "copy_code", "catalog", "mpm", "spm", "flow", "voice_call", "order_details"
]
AnyCaseButtonType = Literal[
    ButtonType,
    "QUICK_REPLY",
    "URL",
    "COPY_CODE",
    "CATALOG",
    "MPM",
    "SPM",
    "FLOW",
    "VOICE_CALL",
    "ORDER_DETAILS",
]

_HEADER = (
    TextParameter,
    CurrencyParameter,
    DateTimeParameter,
    ImageParameter,
    VideoParameter,
    DocumentParameter,
    LocationParameter,
    ProductParameter,
)
# Which parameters fit: by component type, and for buttons by sub-type.
_FITTING: dict[str, tuple[type[Parameter], ...]] = {
    "header": _HEADER,
    "body": (TextParameter, CurrencyParameter, DateTimeParameter, GroupParameter),
    "footer": (TextParameter,),
    "carousel": (),
    "limited_time_offer": (OfferParameter,),
    "order_status": (OrderStatusParameter,),
    "tap_target_configuration": (TapTargetParameter,),
    # Clients send the payload of a quick reply as `text` too; Meta takes both.
    "button quick_reply": (PayloadParameter, TextParameter),
    "button url": (TextParameter,),
    "button copy_code": (CouponParameter,),
    "button catalog": (ActionParameter,),
    "button mpm": (ActionParameter,),
    "button spm": (ActionParameter, ProductParameter),
    "button flow": (ActionParameter,),
    "button voice_call": (CallTtlParameter, PayloadParameter),
    "button order_details": (ActionParameter,),
}


class CardComponents(Part, frozen=True):
    """The variables of one card of a carousel template."""

    card_index: Annotated[int, Meta(ge=0, le=9)]
    components: "Annotated[list[Component], Meta(max_length=10)]"

    def __post_init__(self) -> None:
        if any(component.type not in ("header", "body", "button") for component in self.components):
            raise ValueError("a card has only header, body and button components")


class Component(Part, frozen=True):
    """The variables of one part of a template."""

    type: Annotated[AnyCaseComponentType, Meta(description="Upper or lower case.")]
    sub_type: Annotated[AnyCaseButtonType, Meta(description="Buttons only; upper or lower case.")] | None = (
        None
    )
    index: Annotated[int | str, Meta(description="Buttons only: which one, from 0.")] | None = None
    parameters: Annotated[list[AnyParameter], Meta(max_length=1024)] = field(default_factory=list)
    cards: Annotated[list[CardComponents], Meta(min_length=2, max_length=10)] | None = None

    def __post_init__(self) -> None:
        kind = self.type.lower()
        settle(self, "type", kind)
        fits = kind
        if kind == "button":
            if self.sub_type is None or self.index is None:
                raise ValueError("a button component needs `sub_type` and `index`")
            settle(self, "sub_type", self.sub_type.lower())
            settle(self, "index", str(self.index))
            if self.index not in _INDEXES:
                raise ValueError("`index` must be 0 to 9")
            fits = f"button {self.sub_type}"
        elif self.sub_type is not None or self.index is not None:
            raise ValueError("`sub_type` and `index` belong to button components")
        if (kind == "carousel") != (self.cards is not None):
            raise ValueError("`cards` belong to the carousel component, which needs them")
        if self.cards is not None:
            unique([str(card.card_index) for card in self.cards], "card indexes")
        for parameter in self.parameters:
            if not isinstance(parameter, _FITTING[fits]):
                raise ValueError(
                    f"a {parameter.__struct_config__.tag} parameter does not fit a {fits} component"
                )


_INDEXES = frozenset("0123456789")


class Language(Part, frozen=True):
    """The language of the template; `policy` is old, still sent, and without effect."""

    code: Annotated[str, Meta(pattern="^[a-z]{2,3}(_[A-Za-z]{2,4})?$", description="For example `en_US`.")]
    policy: Literal["deterministic"] = "deterministic"


class Template(Part, frozen=True):
    """A template with what fills its variables."""

    name: Annotated[str, Meta(min_length=1, max_length=512, pattern="^[a-z0-9_]+$")]
    language: Language
    components: Annotated[list[Component], Meta(max_length=20)] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = [
            f"{part.type} {part.index}" if part.type == "button" else part.type for part in self.components
        ]
        unique(kinds, "components (and the index of buttons)")

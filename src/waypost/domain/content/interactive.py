"""Interactive messages, one struct per kind: buttons, lists, links, flows, products, cards, calls, payments.

`Interactive` is the union; `type` tells the kind. Rules that span fields are in `__post_init__`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from waypost.domain.content.cards import Carousel
from waypost.domain.content.parts import (
    AnyHeader,
    Body,
    Footer,
    Json,
    LongBody,
    Part,
    Required,
    Text20,
    Text24,
    TextHeader,
    Url,
    between,
    settle,
    unique,
)
from waypost.domain.content.payments import OrderDetails, OrderStatus


class Interaction(Part, frozen=True, tag_field="type"):
    """Base of the kinds, told apart by `type`."""


class Reply(Part, frozen=True):
    """What a reply button says, and the id its tap sends back."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    title: Text20


class ReplyButton(Part, frozen=True):
    """One reply button."""

    type: Literal["reply"]
    reply: Reply


class ButtonAction(Part, frozen=True):
    """One to three reply buttons."""

    buttons: Annotated[list[ReplyButton], Meta(min_length=1, max_length=3)]

    def __post_init__(self) -> None:
        unique([button.reply.id for button in self.buttons], "button ids")
        unique([button.reply.title for button in self.buttons], "button titles")


class Buttons(Interaction, frozen=True, tag="button"):
    """Text with up to three reply buttons."""

    body: Body
    action: ButtonAction
    header: AnyHeader | None = None
    footer: Footer | None = None


class Row(Part, frozen=True):
    """One choice of a list."""

    id: Annotated[str, Meta(min_length=1, max_length=200)]
    title: Text24
    description: Annotated[str, Meta(max_length=72)] | None = None


class RowSection(Part, frozen=True):
    """Choices under a title; the title is needed when there is more than one section."""

    rows: Annotated[list[Row], Meta(min_length=1, max_length=10)]
    title: Annotated[str, Meta(max_length=24)] | None = None


class ListAction(Part, frozen=True):
    """The button that opens the list, and at most ten rows in all."""

    button: Text20
    sections: Annotated[list[RowSection], Meta(min_length=1, max_length=10)]

    def __post_init__(self) -> None:
        rows = [row for section in self.sections for row in section.rows]
        between(len(rows), 1, 10, "rows in all sections together")
        unique([row.id for row in rows], "row ids")
        if len(self.sections) > 1 and not all(section.title for section in self.sections):
            raise ValueError("every section needs a `title` when there is more than one")


class ListMessage(Interaction, frozen=True, tag="list"):
    """A menu of up to ten rows."""

    body: LongBody
    action: ListAction
    header: TextHeader | None = None
    footer: Footer | None = None


class LinkParameters(Part, frozen=True):
    """The label of a link button and where it leads."""

    display_text: Text20
    url: Url


class LinkAction(Part, frozen=True):
    """A button that opens a web address."""

    name: Literal["cta_url"]
    parameters: LinkParameters


class LinkButton(Interaction, frozen=True, tag="cta_url"):
    """Text with one button that opens a web address."""

    body: Body
    action: LinkAction
    header: AnyHeader | None = None
    footer: Footer | None = None


class LocationRequestAction(Part, frozen=True):
    """Asks for the person's position."""

    name: Literal["send_location"]


class LocationRequest(Interaction, frozen=True, tag="location_request_message"):
    """Asks where the person is; the reply is a location message."""

    body: Body
    action: LocationRequestAction


AddressValues = dict[str, Annotated[str, Meta(max_length=1000)]]


class SavedAddress(Part, frozen=True):
    """An address the person may pick."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    value: AddressValues


class AddressParameters(Part, frozen=True):
    """The form of an address message: India, and Singapore in older pages."""

    country: Literal["IN", "SG"]
    values: AddressValues = field(default_factory=dict)
    saved_addresses: list[SavedAddress] = field(default_factory=list)
    validation_errors: AddressValues = field(default_factory=dict)

    def __post_init__(self) -> None:
        for values in (self.values, *(saved.value for saved in self.saved_addresses)):
            for key in ("in_pin_code", "sg_post_code"):
                if len(values.get(key, "")) > 6:
                    raise ValueError(f"`{key}` has at most 6 characters")


class AddressAction(Part, frozen=True):
    """Asks for a postal address."""

    name: Literal["address_message"]
    parameters: AddressParameters


class AddressRequest(Interaction, frozen=True, tag="address_message"):
    """Asks for a postal address; the reply is an `nfm_reply`."""

    body: Body
    action: AddressAction
    header: AnyHeader | None = None
    footer: Footer | None = None


class FlowScreen(Part, frozen=True):
    """The first screen of a flow, and what it is given."""

    screen: Required
    data: dict[str, Json] | None = None


class FlowParameters(Part, frozen=True):
    """Which flow opens, and how."""

    flow_message_version: Annotated[str | int, Meta(description='Always "3".')]
    flow_cta: Annotated[str, Meta(min_length=1, max_length=30)]
    flow_id: Required | None = None
    flow_name: Required | None = None
    mode: Literal["draft", "published"] = "published"
    flow_token: Annotated[str, Meta(max_length=4096)] | None = None
    flow_action: Literal["navigate", "data_exchange"] = "navigate"
    flow_action_payload: FlowScreen | None = None

    def __post_init__(self) -> None:
        settle(self, "flow_message_version", str(self.flow_message_version))
        if self.flow_message_version != "3":
            raise ValueError('`flow_message_version` must be "3"')
        if (self.flow_id is None) == (self.flow_name is None):
            raise ValueError("give exactly one of `flow_id` and `flow_name`")


class FlowAction(Part, frozen=True):
    """Opens a flow."""

    name: Literal["flow"]
    parameters: FlowParameters


class Flow(Interaction, frozen=True, tag="flow"):
    """A form the person fills in; the reply is an `nfm_reply` with JSON in a string."""

    body: Body
    action: FlowAction
    header: AnyHeader | None = None
    footer: Footer | None = None


class ProductAction(Part, frozen=True):
    """One product of a catalogue."""

    catalog_id: Required
    product_retailer_id: Required


class Product(Interaction, frozen=True, tag="product"):
    """One product; the text is optional."""

    action: ProductAction
    body: Body | None = None
    footer: Footer | None = None


class ProductItem(Part, frozen=True):
    """A product, by the seller's id."""

    product_retailer_id: Required


class ProductSection(Part, frozen=True):
    """Products under a title."""

    product_items: Annotated[list[ProductItem], Meta(min_length=1, max_length=30)]
    title: Annotated[str, Meta(max_length=24)] | None = None


class ProductListAction(Part, frozen=True):
    """At most thirty products of one catalogue."""

    catalog_id: Required
    sections: Annotated[list[ProductSection], Meta(min_length=1, max_length=10)]

    def __post_init__(self) -> None:
        between(sum(len(section.product_items) for section in self.sections), 1, 30, "products in all")
        if len(self.sections) > 1 and not all(section.title for section in self.sections):
            raise ValueError("every section needs a `title` when there is more than one")


class ProductList(Interaction, frozen=True, tag="product_list"):
    """Several products in sections, under a text header."""

    header: TextHeader
    body: Body
    action: ProductListAction
    footer: Footer | None = None


class CatalogParameters(Part, frozen=True):
    """Which product lends its picture."""

    thumbnail_product_retailer_id: Required | None = None


class CatalogAction(Part, frozen=True):
    """Opens the catalogue."""

    name: Literal["catalog_message"]
    parameters: CatalogParameters | None = None


class Catalog(Interaction, frozen=True, tag="catalog_message"):
    """Text with a button that opens the catalogue."""

    body: Body
    action: CatalogAction
    footer: Footer | None = None


class CallParameters(Part, frozen=True):
    """The label of a call button, how long it works, and what comes back with the call."""

    display_text: Text20 | None = None
    ttl_minutes: Annotated[int, Meta(ge=1, le=43_200)] | None = None
    payload: Annotated[str, Meta(max_length=512)] | None = None


class CallAction(Part, frozen=True):
    """A button that calls the business on WhatsApp."""

    name: Literal["voice_call"]
    parameters: CallParameters | None = None


class VoiceCall(Interaction, frozen=True, tag="voice_call"):
    """Text with a button that calls the business."""

    body: Body
    action: CallAction
    header: AnyHeader | None = None
    footer: Footer | None = None


class CallPermissionAction(Part, frozen=True):
    """Asks for permission to call."""

    name: Literal["call_permission_request"]


class CallPermission(Interaction, frozen=True, tag="call_permission_request"):
    """Asks for permission to call: once a day and twice a week per person."""

    action: CallPermissionAction
    body: Body | None = None


class ContactRequestAction(Part, frozen=True):
    """Asks a person known by username for the phone number."""

    name: Literal["request_contact_info"]


class ContactRequest(Interaction, frozen=True, tag="request_contact_info"):
    """Asks for the phone number; the reply is a contacts message."""

    body: Body
    action: ContactRequestAction


class OrderDetailsAction(Part, frozen=True):
    """An order to review and pay."""

    name: Literal["review_and_pay"]
    parameters: OrderDetails


class OrderDetailsMessage(Interaction, frozen=True, tag="order_details"):
    """An order to pay (India and Brazil)."""

    body: Body
    action: OrderDetailsAction
    header: AnyHeader | None = None
    footer: Footer | None = None


class OrderStatusAction(Part, frozen=True):
    """The state of an order."""

    name: Literal["review_order"]
    parameters: OrderStatus


class OrderStatusMessage(Interaction, frozen=True, tag="order_status"):
    """News of an order (India and Brazil)."""

    body: Body
    action: OrderStatusAction
    header: AnyHeader | None = None
    footer: Footer | None = None


Interactive = (
    Buttons
    | ListMessage
    | LinkButton
    | LocationRequest
    | AddressRequest
    | Flow
    | Product
    | ProductList
    | Catalog
    | Carousel
    | VoiceCall
    | CallPermission
    | ContactRequest
    | OrderDetailsMessage
    | OrderStatusMessage
)

"""Orders and their payment (India and Brazil), as interactive messages and templates carry them."""

from typing import Annotated, Literal

from msgspec import Meta, field

from waypost.domain.content.parts import Currency, Json, Part, Required

ReferenceId = Annotated[
    str, Meta(pattern="^[A-Za-z0-9._-]{1,35}$", description="The business's own id of the order.")
]


class Amount(Part, frozen=True):
    """An amount in the smallest unit: `value` / `offset` is what the person pays."""

    value: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=1)]
    description: Annotated[str, Meta(max_length=60)] | None = None
    discount_program_name: Annotated[str, Meta(max_length=60)] | None = None


class OrderItem(Part, frozen=True):
    """One line of an order."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    amount: Amount
    quantity: Annotated[int, Meta(ge=1)]
    retailer_id: Required | None = None
    product_id: Required | None = None
    sale_amount: Amount | None = None
    image: Json = None
    country_of_origin: Annotated[str, Meta(max_length=100)] | None = None
    importer_name: Annotated[str, Meta(max_length=100)] | None = None
    importer_address: Json = None


class Order(Part, frozen=True):
    """The goods, and what they cost together."""

    status: Annotated[str, Meta(max_length=40)]
    items: Annotated[list[OrderItem], Meta(max_length=999)] = field(default_factory=list)
    subtotal: Amount | None = None
    tax: Amount | None = None
    shipping: Amount | None = None
    discount: Amount | None = None
    catalog_id: Required | None = None
    expiration: Json = None
    type: Annotated[str, Meta(max_length=40)] | None = None


class OrderDetails(Part, frozen=True):
    """An order to review and pay; amounts are Meta's `{value, offset}` objects."""

    reference_id: ReferenceId
    type: Literal["digital-goods", "physical-goods"]
    currency: Currency
    total_amount: Amount
    order: Order
    payment_type: Annotated[str, Meta(max_length=100)] | None = None
    payment_configuration: Annotated[str, Meta(max_length=100)] | None = None
    payment_settings: list[dict[str, Json]] = field(default_factory=list)
    beneficiaries: list[dict[str, Json]] = field(default_factory=list)


class OrderState(Part, frozen=True):
    """Where an order stands."""

    status: Literal[
        "pending", "processing", "partially-shipped", "partially_shipped", "shipped", "completed", "canceled"
    ]
    description: Annotated[str, Meta(max_length=120)] | None = None


class OrderStatus(Part, frozen=True):
    """News of one order."""

    reference_id: ReferenceId
    order: OrderState
    payment: Json = None

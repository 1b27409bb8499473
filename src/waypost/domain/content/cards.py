"""The carousel: two to ten cards side by side, either all with media and buttons or all with a product."""

from typing import Annotated, Literal

from msgspec import Meta

from waypost.domain.content.parts import Body, LinkedMedia, Part, Required, Text20, Url, unique


class CardText(Part, frozen=True):
    """The text of a card: 160 characters, at most two line breaks."""

    text: Annotated[str, Meta(min_length=1, max_length=160)]

    def __post_init__(self) -> None:
        if self.text.count("\n") > 2:
            raise ValueError("a card's text has at most two line breaks")


class CardImageHeader(Part, frozen=True, tag_field="type", tag="image"):
    """The image of a card, by link."""

    image: LinkedMedia


class CardVideoHeader(Part, frozen=True, tag_field="type", tag="video"):
    """The video of a card, by link."""

    video: LinkedMedia


class QuickReply(Part, frozen=True):
    """What a card's button says, and the id its tap sends back."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    title: Text20


class QuickReplyButton(Part, frozen=True):
    """A reply button of a card; spelt `quick_reply`, unlike the `reply` of a button message."""

    type: Literal["quick_reply"]
    quick_reply: QuickReply


class CardLink(Part, frozen=True):
    """The label of a card's link and where it leads."""

    display_text: Text20
    url: Url


class CardAction(Part, frozen=True):
    """What a card offers: one link, or quick replies, or a product."""

    name: Literal["cta_url"] | None = None
    parameters: CardLink | None = None
    buttons: Annotated[list[QuickReplyButton], Meta(min_length=1, max_length=3)] | None = None
    product_retailer_id: Required | None = None
    catalog_id: Required | None = None

    def __post_init__(self) -> None:
        link = self.name is not None or self.parameters is not None
        product = self.product_retailer_id is not None or self.catalog_id is not None
        if link + product + (self.buttons is not None) != 1:
            raise ValueError("a card has either a link, or quick reply buttons, or a product")
        if link and (self.name is None or self.parameters is None):
            raise ValueError('a link needs `name` "cta_url" and `parameters`')
        if product and (self.product_retailer_id is None or self.catalog_id is None):
            raise ValueError("a product needs `product_retailer_id` and `catalog_id`")

    def shape(self) -> tuple[str, int]:
        """What all cards of one carousel must have in common: the kind of button and how many."""
        if self.buttons is not None:
            return "quick_reply", len(self.buttons)
        return ("link", 1) if self.parameters is not None else ("product", 1)


class CarouselCard(Part, frozen=True):
    """One card. `type` is `product`, or `cta_url` for media with a link or quick replies."""

    card_index: Annotated[int, Meta(ge=0, le=9)]
    type: Literal["cta_url", "quick_reply", "button", "product"]
    action: CardAction
    header: CardImageHeader | CardVideoHeader | None = None
    body: CardText | None = None

    def __post_init__(self) -> None:
        is_product = self.action.shape()[0] == "product"
        if (self.type == "product") != is_product:
            raise ValueError("`type` and `action` of the card do not agree")
        if not is_product and self.header is None:
            raise ValueError("a media card needs an image or video `header`")
        if is_product and (self.header is not None or self.body is not None):
            raise ValueError("a product card has no `header` and no `body`")


class CarouselAction(Part, frozen=True):
    """Two to ten cards with the same buttons, or products of one catalogue."""

    cards: Annotated[list[CarouselCard], Meta(min_length=2, max_length=10)]

    def __post_init__(self) -> None:
        unique([str(card.card_index) for card in self.cards], "card indexes")
        if len({card.action.shape() for card in self.cards}) > 1:
            raise ValueError("all cards need the same kind and number of buttons")
        if len({card.action.catalog_id for card in self.cards}) > 1:
            raise ValueError("all product cards must be of one catalogue")


class Carousel(Part, frozen=True, tag_field="type", tag="carousel"):
    """Text above cards that are swept sideways; no header and no footer."""

    body: Body
    action: CarouselAction

"""Records as shops' topics hold them: each kind as its vendor documents it, shortened, and what it is as an order."""

from __future__ import annotations

from typing import Any, NamedTuple

Record = dict[str, Any]
Line = tuple[str, str, str, int, str]
"""Customer, item, time, quantity and type."""


class Kind(NamedTuple):
    """Records of a kind."""

    records: list[Record]
    lines: list[Line]
    """Of the records, those that are counted."""
    columns: str = ""
    """Of the profile's fields, those that a user has to name."""
    purchases: str = ""


# https://shopify.dev/docs/api/admin-rest/latest/resources/order, "Retrieve a specific order"
SHOPIFY: Record = {
    "id": 450789469,
    "admin_graphql_api_id": "gid://shopify/Order/450789469",
    "app_id": None,
    "buyer_accepts_marketing": False,
    "cancel_reason": None,
    "cancelled_at": None,
    "confirmed": True,
    "contact_email": "bob.norman@mail.example.com",
    "created_at": "2008-01-10T11:00:00-05:00",
    "currency": "USD",
    "current_total_price": "598.94",
    "discount_codes": [{"code": "TENOFF", "amount": "10.00", "type": "fixed_amount"}],
    "email": "bob.norman@mail.example.com",
    "financial_status": "partially_refunded",
    "name": "#1001",
    "order_number": 1001,
    "test": False,
    "updated_at": "2008-01-10T11:00:00-05:00",
    "customer": {"id": 207119551, "email": "bob.norman@mail.example.com", "first_name": "Bob", "last_name": "Norman"},
    "line_items": [
        {
            "id": 466157049,
            "admin_graphql_api_id": "gid://shopify/LineItem/466157049",
            "name": "IPod Nano - 8gb - green",
            "price": "199.00",
            "product_id": 632910392,
            "quantity": 1,
            "sku": "IPOD2008GREEN",
            "variant_id": 39072856,
            "tax_lines": [{"price": "3.98", "rate": 0.06, "title": "State Tax"}],
        },
        {
            "id": 518995019,
            "admin_graphql_api_id": "gid://shopify/LineItem/518995019",
            "name": "IPod Nano - 8gb - red",
            "price": "199.00",
            "product_id": 632910393,
            "quantity": 2,
            "sku": "IPOD2008RED",
            "variant_id": 49148385,
            "tax_lines": [{"price": "3.98", "rate": 0.06, "title": "State Tax"}],
        },
    ],
    "refunds": [
        {
            "id": 509562969,
            "order_id": 450789469,
            "refund_line_items": [
                {"id": 104689539, "quantity": 1, "line_item_id": 703073504, "line_item": {"product_id": 632910394}}
            ],
        }
    ],
    "shipping_lines": [{"id": 369256396, "price": "0.00", "title": "Free Shipping"}],
}

# https://woocommerce.github.io/woocommerce-rest-api-docs, "Order properties"
WOOCOMMERCE: Record = {
    "id": 727,
    "parent_id": 0,
    "number": "727",
    "order_key": "wc_order_58d2d042d1d",
    "created_via": "rest-api",
    "version": "3.0.0",
    "status": "processing",
    "currency": "USD",
    "date_created": "2017-03-22T16:28:02",
    "date_created_gmt": "2017-03-22T19:28:02",
    "date_modified": "2017-03-22T16:28:08",
    "date_modified_gmt": "2017-03-22T19:28:08",
    "total": "29.35",
    "customer_id": 26,
    "billing": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com"},
    "payment_method": "bacs",
    "meta_data": [{"id": 13106, "key": "_download_permissions_granted", "value": "yes"}],
    "line_items": [
        {"id": 315, "name": "Woo Single #1", "product_id": 93, "variation_id": 0, "quantity": 2, "sku": "", "price": 3},
        {"id": 316, "name": "Ship Your Idea", "product_id": 22, "variation_id": 23, "quantity": 1, "sku": "Bar3"},
    ],
    "shipping_lines": [{"id": 317, "method_title": "Flat Rate", "method_id": "flat_rate", "total": "10.00"}],
    "refunds": [],
}

# https://segment.com/docs/connections/spec/ecommerce/v2, "Order Completed", in a track call
SEGMENT: Record = {
    "anonymousId": "23adfd82-aa0f-45a7-a756-24f2a7a4c895",
    "context": {"library": {"name": "analytics.js", "version": "2.11.1"}, "ip": "108.0.78.21"},
    "event": "Order Completed",
    "messageId": "ajs-f8ca1e4de5024d9430b3928bd8ac6b96",
    "properties": {
        "checkout_id": "fksdjfsdjfisjf9sdfjsd9f",
        "order_id": "50314b8e9bcf000000000000",
        "affiliation": "Google Store",
        "total": 27.50,
        "currency": "USD",
        "products": [
            {
                "product_id": "507f1f77bcf86cd799439011",
                "sku": "45790-32",
                "name": "Monopoly: 3rd Edition",
                "quantity": 1,
            },
            {"product_id": "505bd76785ebb509fc183733", "sku": "46493-32", "name": "Uno Card Game", "quantity": 2},
        ],
    },
    "receivedAt": "2015-12-12T19:11:01.266Z",
    "sentAt": "2015-12-12T19:11:01.169Z",
    "timestamp": "2015-12-12T19:11:01.249Z",
    "type": "track",
    "userId": "AiUGstSDIg",
    "originalTimestamp": "2015-12-12T19:11:01.152Z",
}

# https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference/events#purchase
GA4_EVENTS: Record = {
    "client_id": "1234567.7654321",
    "timestamp_micros": 1_673_777_472_000_000,
    "events": [
        {"name": "page_view", "params": {"page_location": "https://shop.example/thanks"}},
        {
            "name": "purchase",
            "params": {
                "currency": "USD",
                "value": 72.05,
                "transaction_id": "T_12345",
                "items": [
                    {"item_id": "SKU_12345", "item_name": "Stan and Friends Tee", "price": 10.01, "quantity": 3},
                    {"item_id": "SKU_12346", "item_name": "Grey Women's Tee", "price": 21.01, "quantity": 2},
                ],
            },
        },
    ],
}

# https://docs.snowplow.io/docs/events/ootb-data/ecommerce-events, as the Analytics SDKs turn enriched events into JSON
_SNOWPLOW = "com_snowplowanalytics_snowplow_ecommerce"
SNOWPLOW: Record = {
    "app_id": "shop",
    "platform": "web",
    "collector_tstamp": "2023-01-15T10:11:13.885Z",
    "derived_tstamp": "2023-01-15T10:11:12.885Z",
    "event": "unstruct",
    "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb",
    "user_id": None,
    "domain_userid": "bc2e92ec6c204a14",
    "event_name": "snowplow_ecommerce_action",
    f"unstruct_event_{_SNOWPLOW}_snowplow_ecommerce_action_1": {"type": "transaction"},
    f"contexts_{_SNOWPLOW}_transaction_1": [
        {"transaction_id": "T12345", "currency": "USD", "revenue": 200, "payment_method": "card", "total_quantity": 3}
    ],
    f"contexts_{_SNOWPLOW}_product_1": [
        {"id": "P125", "name": "Baseball T", "category": "Mens/Apparel", "price": 10, "currency": "USD", "quantity": 1},
        {"id": "P126", "name": "Hat", "category": "Mens/Apparel", "price": 20, "currency": "USD", "quantity": 2},
    ],
    "contexts_org_w3_performance_timing_1": [{"navigationStart": 1415358089861}],
}

# https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md, with an order as its data
CLOUDEVENT: Record = {
    "specversion": "1.0",
    "type": "com.example.order.placed",
    "source": "/orders/123",
    "subject": "1001",
    "id": "A234-1234-1234",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "datacontenttype": "application/json",
    "data": {"customer": {"id": "ann"}, "number": "1001", "items": [{"sku": "tea", "count": 2}, {"sku": "mug"}]},
}

# https://debezium.io/documentation/reference/stable/connectors/postgresql.html, of a table of order lines
_DEBEZIUM_SOURCE: Record = {
    "version": "2.7.3.Final",
    "connector": "postgresql",
    "name": "PostgreSQL_server",
    "ts_ms": 1_559_033_904_863,
    "snapshot": "false",
    "db": "postgres",
    "sequence": '["24023119","24023128"]',
    "schema": "public",
    "table": "order_lines",
    "txId": 555,
    "lsn": 24_023_128,
    "xmin": None,
}
_ROW: Record = {
    "id": 1,
    "order_id": 10_001,
    "purchaser": 1003,
    "product_id": 109,
    "quantity": 2,
    "created_at": 1_559_033_904_863_000,
}


def debezium(operation: str, before: Record | None, after: Record | None) -> Record:
    """A change event without its schema."""
    return {
        "before": before,
        "after": after,
        "source": _DEBEZIUM_SOURCE,
        "op": operation,
        "ts_ms": 1_559_033_904_900,
        "transaction": None,
    }


def connect(payload: Record) -> Record:
    """A record as Kafka Connect's JsonConverter writes it, with a schema."""
    fields = [{"type": "int64", "optional": False, "field": name} for name in payload]
    schema = {"type": "struct", "fields": fields, "optional": False, "name": "PostgreSQL_server.public.order_lines"}
    return {"schema": schema, "payload": payload}


CREATED = debezium("c", None, _ROW)
SNAPSHOT = debezium("r", None, _ROW | {"id": 2, "product_id": 110, "quantity": 1})
UPDATED = debezium("u", _ROW, _ROW | {"quantity": 5})
DELETED = debezium("d", {"id": 1, "order_id": None, "purchaser": None, "product_id": None, "quantity": 0}, None)
_CHANGES = [CREATED, SNAPSHOT, UPDATED, DELETED]

KINDS = {
    "shopify-webhook": Kind(
        [SHOPIFY, SHOPIFY | {"id": 450789470, "cancelled_at": "2008-01-11T11:00:00-05:00"}, SHOPIFY | {"test": True}],
        [
            ("207119551", "632910392", "2008-01-10T16:00:00Z", 1, "purchase"),
            ("207119551", "632910393", "2008-01-10T16:00:00Z", 2, "purchase"),
        ],
    ),
    "woocommerce-webhook": Kind(
        [WOOCOMMERCE, WOOCOMMERCE | {"id": 728, "status": "cancelled"}, WOOCOMMERCE | {"id": 729, "status": "pending"}],
        [
            ("26", "93", "2017-03-22T19:28:02Z", 2, "purchase"),
            ("26", "22", "2017-03-22T19:28:02Z", 1, "purchase"),
        ],
    ),
    "segment": Kind(
        [
            SEGMENT,
            SEGMENT | {"event": "Order Updated"},
            SEGMENT | {"event": "Order Cancelled"},
            SEGMENT | {"event": "Order Refunded"},
        ],
        [
            ("AiUGstSDIg", "507f1f77bcf86cd799439011", "2015-12-12T19:11:01.249Z", 1, "purchase"),
            ("AiUGstSDIg", "505bd76785ebb509fc183733", "2015-12-12T19:11:01.249Z", 2, "purchase"),
            ("AiUGstSDIg", "507f1f77bcf86cd799439011", "2015-12-12T19:11:01.249Z", 1, "return"),
            ("AiUGstSDIg", "505bd76785ebb509fc183733", "2015-12-12T19:11:01.249Z", 2, "return"),
        ],
    ),
    "ga4-events": Kind(
        [GA4_EVENTS],
        [
            ("1234567.7654321", "SKU_12345", "2023-01-15T10:11:12Z", 3, "purchase"),
            ("1234567.7654321", "SKU_12346", "2023-01-15T10:11:12Z", 2, "purchase"),
        ],
    ),
    "snowplow": Kind(
        [SNOWPLOW, SNOWPLOW | {f"unstruct_event_{_SNOWPLOW}_snowplow_ecommerce_action_1": {"type": "product_view"}}],
        [
            ("bc2e92ec6c204a14", "P125", "2023-01-15T10:11:12.885Z", 1, "purchase"),
            ("bc2e92ec6c204a14", "P126", "2023-01-15T10:11:12.885Z", 2, "purchase"),
        ],
    ),
    "cloudevents": Kind(
        [CLOUDEVENT, CLOUDEVENT | {"type": "com.example.order.cancelled"}],
        [
            ("ann", "tea", "2018-04-05T17:31:00Z", 2, "purchase"),
            ("ann", "mug", "2018-04-05T17:31:00Z", 1, "purchase"),
        ],
        columns="customer_id=customer.id,order_id=number,item_id=items[].sku,quantity=items[].count",
        purchases="com.example.order.placed",
    ),
    "debezium": Kind(
        [*_CHANGES, *map(connect, _CHANGES)],
        [
            ("1003", "109", "2019-05-28T08:58:24.863Z", 2, "purchase"),
            ("1003", "110", "2019-05-28T08:58:24.863Z", 1, "purchase"),
        ]
        * 2,
        columns="customer_id=purchaser,item_id=product_id,timestamp=created_at",
    ),
    "kafka-connect": Kind(
        [connect(_ROW)],
        [("1003", "109", "2019-05-28T08:58:24.863Z", 2, "purchase")],
        columns="customer_id=purchaser,item_id=product_id,timestamp=created_at",
    ),
}
"""By the name of the profile that reads them."""

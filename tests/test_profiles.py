"""Profiles: a small file as each shop or data set writes it, and its counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from producers.errors import LogError
from producers.log_format import LogFormat
from producers.logs.inspection.inspection import inspect
from producers.logs.inspection.preview import preview
from producers.logs.inspection.profiles import load_profile, profiles
from streams.commands.format_options import format_settings
from tests.vendor_records import KINDS

if TYPE_CHECKING:
    from pathlib import Path


class Export(NamedTuple):
    """A small file of a kind."""

    name: str
    content: str
    lines: list[tuple[str, str, str, int, str]]
    """Customer, item, time, quantity and type of each line that is counted."""
    known: bool = True
    """Whether its header tells the profile."""


def _json_lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


EXPORTS = {
    "shopify": Export(
        "orders_export_1.csv",
        "Name,Email,Financial Status,Paid at,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,"
        "Lineitem sku\n"
        "#1002,bob@x.org,paid,2023-01-20 08:00:00 -0500,9,2023-01-20 08:00:00 -0500,1,Tea,4,TEA\n"
        "#1001,ann@x.org,paid,2023-01-15 10:11:12 -0500,12,2023-01-15 10:11:12 -0500,2,Tea,4,TEA\n"
        '#1001,ann@x.org,,,,2023-01-15 10:11:12 -0500,1,"Mug, blue",4,MUG\n',
        [
            ("bob@x.org", "TEA", "2023-01-20T13:00:00Z", 1, "purchase"),
            ("ann@x.org", "TEA", "2023-01-15T15:11:12Z", 2, "purchase"),
            ("ann@x.org", "MUG", "2023-01-15T15:11:12Z", 1, "purchase"),
        ],
    ),
    "woocommerce-lines": Export(
        "orders.csv",
        "Order Number,Order Status,Order Date,Email (Billing),SKU,Item Name,Quantity (- Refund),Item Cost\n"
        "71,Completed,2023-01-15 10:11,ann@x.org,TEA,Tea,2,4\n71,Completed,2023-01-15 10:11,ann@x.org,MUG,Mug,1,5\n"
        "72,Refunded,2023-01-16 10:11,ann@x.org,MUG,Mug,-1,5\n",
        [
            ("ann@x.org", "TEA", "2023-01-15T10:11:00Z", 2, "purchase"),
            ("ann@x.org", "MUG", "2023-01-15T10:11:00Z", 1, "purchase"),
            ("ann@x.org", "MUG", "2023-01-16T10:11:00Z", 1, "return"),
        ],
    ),
    "woocommerce": Export(
        "orders-export.csv",
        "order_id,order_number,date,status,customer_id,billing_email,line_items\n"
        "81,81,2023-01-15 10:11:12,completed,7,ann@x.org,"
        "id:1|name:Tea|product_id:5|sku:TEA-02|quantity:2|total:8.00;id:2|name:Mug|product_id:6|sku:MUG-01|quantity:1\n",
        [
            ("ann@x.org", "TEA-02", "2023-01-15T10:11:12Z", 2, "purchase"),
            ("ann@x.org", "MUG-01", "2023-01-15T10:11:12Z", 1, "purchase"),
        ],
    ),
    "magento": Export(
        "sales.csv",
        "increment_id,customer_email,created_at,sku,qty_ordered\n000000012,ann@x.org,2023-01-15 10:11:12,TEA,2.0000\n",
        [("ann@x.org", "TEA", "2023-01-15T10:11:12Z", 2, "purchase")],
    ),
    "square": Export(
        "items.csv",
        "Date,Time,Time Zone,Category,Item,Qty,Price Point Name,SKU,Gross Sales,Transaction ID,Event Type,Customer ID\n"
        "2023-01-15,10:11:12,Eastern Time,Drinks,Tea,2.0,Regular,,$8.00,T1,Payment,C7\n"
        "2023-01-16,09:00:00,Eastern Time,Drinks,Tea,-1.0,Regular,,($4.00),T2,Refund,C7\n",
        [
            ("C7", "Tea", "2023-01-15T10:11:12Z", 2, "purchase"),
            ("C7", "Tea", "2023-01-16T09:00:00Z", 1, "return"),
        ],
    ),
    "etsy": Export(
        "EtsySoldOrderItems2023.csv",
        "Sale Date,Item Name,Buyer,Quantity,Price,Transaction ID,Listing ID,Date Paid,Order ID,SKU\n"
        '02/03/23,"Mug, blue",Ann Smith (ann1),1,5,3001,1201,02/03/2023,9001,\n',
        [("Ann Smith (ann1)", "1201", "2023-02-03T00:00:00Z", 1, "purchase")],
    ),
    "ebay": Export(
        "eBay-OrdersReport.csv",
        "\n"
        '"Sales Record Number","Order Number","Buyer Username","Buyer Email","Item Number","Item Title","Quantity",'
        '"Sale Date","Paid On Date"\n\n'
        '"101","01-09","ann_1","a@x.org","1100","Mug","2","Jan-15-23","Jan-15-23"\n\n"1","record(s) downloaded,"\n'
        '"Seller ID : shop"\n',
        [("ann_1", "1100", "2023-01-15T00:00:00Z", 2, "purchase")],
    ),
    "amazon-orders": Export(
        "orders.txt",
        "order-id\torder-item-id\tpurchase-date\tpayments-date\tbuyer-email\tbuyer-name\tsku\tproduct-name\t"
        "quantity-purchased\n"
        '026-1\t7001\t2023-01-15T10:11:12+00:00\t2023-01-15T10:11:12+00:00\ta@m.amazon.com\tAnn\tTEA\t5" tea\t2\n',
        [("a@m.amazon.com", "TEA", "2023-01-15T10:11:12Z", 2, "purchase")],
    ),
    "uci-online-retail": Export(
        "Online Retail.csv",
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,85123A,HOLDER,6,12/13/2010 8:26,2.55,17850.0,United Kingdom\n"
        "536365,POST,POSTAGE,1,12/13/2010 8:26,18,17850.0,United Kingdom\n"
        "C536379,85123A,HOLDER,-2,12/14/2010 9:41,2.55,17850.0,United Kingdom\n"
        "536370,22728,CLOCK,2,12/14/2010 9:45,3.75,,France\n",
        [
            ("17850", "85123A", "2010-12-13T08:26:00Z", 6, "purchase"),
            ("17850", "85123A", "2010-12-14T09:41:00Z", 2, "return"),
        ],
    ),
    "uci-online-retail-ii": Export(
        "online_retail_II.csv",
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
        "489434,85048,LIGHTS,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom\n",
        [("13085", "85048", "2009-12-01T07:45:00Z", 12, "purchase")],
    ),
    "instacart": Export(
        "instacart.csv",
        "order_id,user_id,product_id,day,order_hour_of_day\n2539329,1,196,0,08\n2398795,1,196,15,07\n",
        [("1", "196", "2016-01-01T08:00:00Z", 1, "purchase"), ("1", "196", "2016-01-16T07:00:00Z", 1, "purchase")],
    ),
    "ta-feng": Export(
        "ta_feng_all_months_merged.csv",
        "TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,SALES_PRICE\n"
        "11/1/2000,01104905,45-49,115,110411,4710199010372,2,24,30\n",
        [("01104905", "4710199010372", "2000-11-01T00:00:00Z", 2, "purchase")],
    ),
    "dunnhumby": Export(
        "transaction_data.csv",
        "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,TRANS_TIME,WEEK_NO\n"
        "2375,26984851472,1,1004906,1,1.39,364,1631,1\n2375,26984851473,1,1033142,1,0.82,364,0905,1\n",
        [
            ("2375", "1004906", "2017-01-01T16:31:00Z", 1, "purchase"),
            ("2375", "1033142", "2017-01-01T09:05:00Z", 1, "purchase"),
        ],
    ),
    "complete-journey": Export(
        "transactions.csv",
        "household_id,store_id,basket_id,product_id,quantity,sales_value,week,transaction_timestamp\n"
        "900,330,31198570044,1095275,1,0.5,1,2017-01-01 11:53:26\n",
        [("900", "1095275", "2017-01-01T11:53:26Z", 1, "purchase")],
    ),
    "h-and-m": Export(
        "transactions_train.csv",
        "t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,000058a1,0663713001,0.0508,2\n",
        [("000058a1", "0663713001", "2018-09-20T00:00:00Z", 1, "purchase")],
    ),
    "retailrocket": Export(
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
        "1433222276276,599528,transaction,356475,4000\n",
        [("599528", "356475", "2015-06-02T05:17:56.276Z", 1, "purchase")],
    ),
    "rees46": Export(
        "2019-Oct.csv",
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
        "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d7\n"
        "2019-10-01 00:02:14 UTC,purchase,1004856,2053013555631882655,x,samsung,130.76,543272936,8187\n",
        [("543272936", "1004856", "2019-10-01T00:02:14Z", 1, "purchase")],
    ),
    "movielens": Export(
        "ratings.csv",
        "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n",
        [("1", "296", "2006-05-17T15:34:04Z", 1, "purchase")],
    ),
    "movielens-dat": Export(
        "ratings.dat",
        "1::1193::5::978300760\n1::661::3::978302109\n2::1193::5::978298413\n",
        [
            ("1", "1193", "2000-12-31T22:12:40Z", 1, "purchase"),
            ("1", "661", "2000-12-31T22:35:09Z", 1, "purchase"),
            ("2", "1193", "2000-12-31T21:33:33Z", 1, "purchase"),
        ],
        known=False,
    ),
    "lastfm-1k": Export(
        "userid-timestamp-artid-artname-traid-traname.tsv",
        'user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep Dish\t\tFuck Me Im "Famous\n'
        "user_000001\t2009-05-04T13:54:10Z\ta7f7df4a\t坂本龍一\t\tComposition 0919\n",
        [
            ("user_000001", "f1b1cf71", "2009-05-04T23:08:57Z", 1, "purchase"),
            ("user_000001", "a7f7df4a", "2009-05-04T13:54:10Z", 1, "purchase"),
        ],
        known=False,
    ),
    "amazon-reviews": Export(
        "reviews.json",
        _json_lines(
            {
                "reviewerID": "A2SU",
                "asin": "0000013714",
                "overall": 5.0,
                "unixReviewTime": 1382659200,
                "helpful": [2, 3],
            }
        ),
        [("A2SU", "0000013714", "2013-10-25T00:00:00Z", 1, "purchase")],
    ),
    "amazon-reviews-2023": Export(
        "Books.csv",
        "user_id,parent_asin,rating,timestamp\nAGCI7FAH,0001048791,5.0,1393545600000\n",
        [("AGCI7FAH", "0001048791", "2014-02-28T00:00:00Z", 1, "purchase")],
    ),
    "recbole": Export(
        "ml-100k.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n",
        [("196", "242", "1997-12-04T15:55:49Z", 1, "purchase")],
    ),
    "gorse": Export(
        "feedback.jsonl",
        _json_lines(
            {"FeedbackType": "purchase", "UserId": "ann", "ItemId": "tea", "Timestamp": "2023-01-15T10:11:12Z"},
            {"FeedbackType": "read", "UserId": "ann", "ItemId": "mug", "Timestamp": "2023-01-15T10:11:12Z"},
        ),
        [("ann", "tea", "2023-01-15T10:11:12Z", 1, "purchase")],
    ),
    "gorse-csv": Export(
        "feedback.csv",
        "feedback_type,user_id,item_id,time_stamp\nbuy,ann,tea,2023-01-15 10:11:12 +0000 UTC\n"
        "star,ann,mug,2023-01-15 10:11:12 +0000 UTC\n",
        [("ann", "tea", "2023-01-15T10:11:12Z", 1, "purchase")],
    ),
    "predictionio": Export(
        "events.json",
        _json_lines(
            {
                "eventId": "e1",
                "event": "buy",
                "entityType": "user",
                "entityId": "ann",
                "targetEntityType": "item",
                "targetEntityId": "tea",
                "properties": {},
                "eventTime": "2023-01-15T10:11:12.000Z",
            },
            {
                "eventId": "e2",
                "event": "view",
                "entityType": "user",
                "entityId": "ann",
                "targetEntityType": "item",
                "targetEntityId": "mug",
                "eventTime": "2023-01-15T10:11:12.000Z",
            },
        ),
        [("ann", "tea", "2023-01-15T10:11:12Z", 1, "purchase")],
    ),
    "ga4": Export(
        "events_20230115.json",
        _json_lines(
            {
                "event_date": "20230115",
                "event_timestamp": "1673777472000000",
                "event_name": "purchase",
                "user_pseudo_id": "10.20",
                "ecommerce": {"transaction_id": "T1"},
                "event_params": [{"key": "page", "value": {"string_value": "/"}}],
                "items": [{"item_id": "tea", "quantity": "2"}, {"item_id": "mug", "quantity": "1"}],
            },
            {
                "event_date": "20230115",
                "event_timestamp": "1673777473000000",
                "event_name": "view_item",
                "user_pseudo_id": "10.20",
                "event_params": [],
                "items": [{"item_id": "jam"}],
            },
        ),
        [
            ("10.20", "tea", "2023-01-15T10:11:12Z", 2, "purchase"),
            ("10.20", "mug", "2023-01-15T10:11:12Z", 1, "purchase"),
        ],
    ),
    "segment": Export(
        "segment.jsonl",
        _json_lines(
            {
                "type": "track",
                "event": "Order Completed",
                "userId": "ann",
                "timestamp": "2023-01-15T10:11:12.000Z",
                "properties": {"order_id": "T1", "products": [{"product_id": "tea", "quantity": 2}]},
            },
            {
                "type": "track",
                "event": "Product Viewed",
                "userId": "ann",
                "timestamp": "2023-01-15T10:12:12.000Z",
                "properties": {"product_id": "mug"},
            },
        ),
        [("ann", "tea", "2023-01-15T10:11:12Z", 2, "purchase")],
    ),
}

RECORDS = {name: kind for name, kind in KINDS.items() if name not in EXPORTS}
"""Kinds that topics hold; a file of such records is read alike."""


def test_every_profile_has_a_small_file() -> None:
    assert {*EXPORTS, *RECORDS} == set(profiles())


@pytest.mark.parametrize("name", RECORDS)
def test_a_profile_of_records_reads_files_of_them(name: str, tmp_path: Path) -> None:
    kind = RECORDS[name]
    log = tmp_path / "records.jsonl"
    log.write_text(_json_lines(*kind.records))
    settings, profile = format_settings({"profile": name, "columns": kind.columns, "purchases": kind.purchases})

    found = inspect(log, settings, profile)

    assert found.question is None
    assert found.log_format is not None
    shown = [*preview(log, found.log_format)]
    assert [line for line in shown if "rejected" in line] == []
    assert [tuple(line.values()) for line in shown] == kind.lines


@pytest.mark.parametrize("name", RECORDS)
def test_a_file_of_records_is_known_by_what_it_holds(name: str, tmp_path: Path) -> None:
    log = tmp_path / "records.jsonl"
    log.write_text(_json_lines(*RECORDS[name].records))

    assert inspect(log).profile == name


@pytest.mark.parametrize("name", EXPORTS)
def test_a_profile_reads_its_export(name: str, tmp_path: Path) -> None:
    export = EXPORTS[name]
    log = tmp_path / export.name
    log.write_text(export.content)

    found = inspect(log, profile=load_profile(name))

    assert found.question is None
    assert found.log_format is not None
    assert found.options[:2] == ["--profile", name]
    lines = [line for line in preview(log, found.log_format) if "rejected" not in line]
    assert [tuple(line.values()) for line in lines] == export.lines


@pytest.mark.parametrize("name", [name for name, export in EXPORTS.items() if export.known])
def test_an_export_is_known_by_its_header_and_must_be_confirmed(name: str, tmp_path: Path) -> None:
    log = tmp_path / EXPORTS[name].name
    log.write_text(EXPORTS[name].content)

    found = inspect(log)

    assert (found.profile, found.unconfirmed) == (name, True)
    assert found.options[:2] == ["--profile", name]
    assert found.log_format == inspect(log, profile=load_profile(name)).log_format


def test_a_profile_that_is_written_reads_the_log_alike(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text("User;SKU;Bought at\nann;tea;31.12.2022\n")
    found = inspect(log)
    assert found.log_format is not None
    profile = tmp_path / "orders.toml"
    profile.write_text(found.log_format.to_toml())

    again = inspect(log, profile=load_profile(str(profile)))

    assert again.log_format == found.log_format
    assert not again.unconfirmed


def test_a_profile_that_does_not_exist_is_refused_by_naming_those_that_do() -> None:
    with pytest.raises(LogError, match=r"there is no profile 'shopfy'; there are amazon-orders, .*shopify"):
        load_profile("shopfy")


def test_a_profile_with_an_unknown_attribute_is_refused(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('seperator = ";"\n')

    with pytest.raises(LogError, match="a log format has no seperator"):
        load_profile(str(profile))


def test_a_log_format_survives_json_and_toml() -> None:
    log_format = LogFormat(
        separator="\t",
        quote="",
        columns={"timestamp": ("date", "time")},
        footers=(r"\(\d+ rows\)",),
        missing=("0", "-1"),
    )

    assert LogFormat.from_json(log_format.to_json()) == log_format
    assert LogFormat.from_toml(log_format.to_toml()) == log_format

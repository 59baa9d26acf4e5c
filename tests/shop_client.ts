// What a site asks, through the client that is generated from the OpenAPI document. Prints what it got as JSON.
import { Configuration, ItemsApi, LogApi, ResponseError, VisitorsApi } from "./client";

declare const process: { argv: string[] };

async function problemOf(asked: Promise<unknown>): Promise<unknown> {
    try {
        await asked;
    } catch (error) {
        if (error instanceof ResponseError) return { ...(await error.response.json()), status: error.response.status };
        throw error;
    }
    throw new Error("it was answered");
}

async function main([basePath, token]: string[]): Promise<void> {
    const configuration = new Configuration({ basePath, accessToken: token });
    const items = new ItemsApi(configuration);
    const visitors = new VisitorsApi(configuration);
    const list = await items.related({ itemId: "tea", limit: 2, fields: ["title", "price"] });
    const batch = await items.relatedLists({ relatedListsRequest: { items: ["tea", "no such item"], limit: 1 } });
    const asked = await visitors.recommendVisitor({ basket: ["tea", "soap"], limit: 3 });
    const posted = await visitors.recommendBasket({ recommendationsRequest: { basket: ["tea", "soap"], limit: 3 } });
    const several = await visitors.recommendBasket({ recommendationsRequest: { customers: ["c1", "c2"], limit: 1 } });
    if (!("recommendations" in posted) || !("results" in several)) throw new Error("the answer is of another type");
    const accepted = await new LogApi(configuration).order({
        order: { customerId: "nobody", timestamp: 1_709_208_000, type: "return", lines: [{ itemId: "tea", quantity: 1 }] },
    });
    console.log(
        JSON.stringify({
            related: list.related.map((entry) => [entry.itemId, entry.boughtTogether, entry.price ?? null]),
            batch: batch.results.map((result) => result.answer?.related[0].itemId ?? result.problem?.type),
            recommended: asked.recommendations.map((entry) => entry.itemId),
            posted: posted.recommendations.map((entry) => entry.itemId),
            shares: posted.recommendations.map((entry) => entry.because.reduce((sum, part) => sum + part.share, 0)),
            scores: posted.recommendations.map((entry) => entry.score),
            several: several.results.map((result) => [result.customerId, result.answer?.recommendations.length]),
            accepted: accepted.offset >= 0,
            unknown: await problemOf(items.related({ itemId: "no such item" })),
            invalid: await problemOf(items.related({ itemId: "tea", where: ["colour"] })),
        }),
    );
}

void main(process.argv.slice(2));

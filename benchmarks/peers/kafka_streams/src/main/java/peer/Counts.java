package peer;

import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** By item: how many customers hold it, their exposure, and how many hold each other item as well. */
final class Counts implements Processor<String, String, String, String> {
  private static final Duration EVERY = Duration.ofMillis(200);
  private static final long AT_MOST_MS = 150;
  private static final int LIST = 50;

  private record Related(String item, long together, double score) {}

  private final Map<String, long[]> figures = new HashMap<>(); // holders and exposure of every item, as in the store
  private final Set<String> changed = new LinkedHashSet<>();
  private long allHolders;
  private ProcessorContext<String, String> context;
  private KeyValueStore<String, Long> pairs;
  private KeyValueStore<String, String> items;

  @Override
  public void init(ProcessorContext<String, String> context) {
    this.context = context;
    pairs = context.getStateStore("pairs");
    items = context.getStateStore("items");
    try (KeyValueIterator<String, String> every = items.all()) {
      while (every.hasNext()) {
        KeyValue<String, String> stored = every.next();
        String[] numbers = stored.value.split(" ");
        figures.put(stored.key, new long[] {Long.parseLong(numbers[0]), Long.parseLong(numbers[1])});
        allHolders += Long.parseLong(numbers[0]);
      }
    }
    context.schedule(EVERY, PunctuationType.WALL_CLOCK_TIME, this::publish);
  }

  @Override
  public void process(Record<String, String> record) {
    String item = record.key();
    long[] figure = figures.computeIfAbsent(item, new_ -> new long[2]);
    if (record.value().charAt(0) == '+') {
      figure[0]++;
      allHolders++;
    }
    if (record.value().length() > 1) {
      for (String other : record.value().substring(1).split("\n")) {
        String pair = item + "\0" + other;
        Long before = pairs.get(pair);
        pairs.put(pair, before == null ? 1 : before + 1);
        figure[1]++;
      }
    }
    items.put(item, figure[0] + " " + figure[1]);
    changed.add(item);
    CoPurchases.WAITING.set(changed.size());
    CoPurchases.COUNTED.incrementAndGet();
  }

  private void publish(long now) {
    long deadline = System.currentTimeMillis() + AT_MOST_MS;
    Iterator<String> waiting = changed.iterator();
    while (waiting.hasNext() && System.currentTimeMillis() < deadline) {
      String item = waiting.next();
      waiting.remove();
      context.forward(new Record<>(item, related(item), now));
      CoPurchases.PUBLISHED.incrementAndGet();
    }
    CoPurchases.WAITING.set(changed.size());
  }

  private String related(String item) {
    double expectedPerShare = (double) figures.get(item)[1] / allHolders;
    PriorityQueue<Related> best = new PriorityQueue<>(Comparator.comparingDouble(Related::score));
    try (KeyValueIterator<String, Long> neighbours = pairs.range(item + "\0", item + "\1")) {
      while (neighbours.hasNext()) {
        KeyValue<String, Long> pair = neighbours.next();
        String other = pair.key.substring(item.length() + 1);
        double score = pair.value - expectedPerShare * figures.getOrDefault(other, new long[2])[0];
        if (score > 0 && (best.size() < LIST || score > best.peek().score())) {
          best.add(new Related(other, pair.value, score));
          if (best.size() > LIST) {
            best.poll();
          }
        }
      }
    }
    StringBuilder list = new StringBuilder("[");
    best.stream()
        .sorted(Comparator.comparingDouble(Related::score).reversed())
        .forEach(
            related ->
                list.append(list.length() > 1 ? "," : "")
                    .append("{\"item_id\":\"").append(related.item())
                    .append("\",\"together\":").append(related.together())
                    .append(",\"score\":").append(related.score()).append('}'));
    return list.append("]").toString();
  }
}

package peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** By customer: items that a customer buys for the first time are sent with those bought before, within the window. */
final class Histories implements Processor<String, byte[], String, String> {
  private static final int WINDOW = 100;
  private static final byte[] NOTHING = new byte[0];

  private final ObjectMapper json = new ObjectMapper();
  private ProcessorContext<String, String> context;
  private KeyValueStore<String, byte[]> held;
  private KeyValueStore<String, String> recent;

  @Override
  public void init(ProcessorContext<String, String> context) {
    this.context = context;
    held = context.getStateStore("held");
    recent = context.getStateStore("recent");
  }

  @Override
  public void process(Record<String, byte[]> record) {
    JsonNode order;
    try {
      order = json.readTree(record.value());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    String customer = order.get("customer_id").asText();
    String before = recent.get(customer);
    List<String> items = new ArrayList<>(before == null ? List.of() : List.of(before.split("\n")));
    boolean changed = false;
    for (JsonNode line : order.has("lines") ? order.get("lines") : List.of(order)) {
      CoPurchases.LINES.incrementAndGet();
      String item = line.get("item_id").asText();
      if (held.putIfAbsent(customer + "\0" + item, NOTHING) != null) {
        continue;
      }
      send(item, "+" + String.join("\n", items), record.timestamp());
      for (String other : items) {
        send(other, " " + item, record.timestamp());
      }
      items.add(item);
      if (items.size() > WINDOW) {
        items.remove(0);
      }
      changed = true;
    }
    if (changed) {
      recent.put(customer, String.join("\n", items));
    }
  }

  private void send(String item, String change, long timestamp) {
    CoPurchases.SENT.incrementAndGet();
    context.forward(new Record<>(item, change, timestamp));
  }
}

package peer;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.state.Stores;

/**
 * Item-to-item co-purchases as one would build them with Kafka Streams: exactly once, state in RocksDB.
 *
 * <p>Histories by customer send a record for each item of a new pair through a topic of changes to counts by item, one
 * RocksDB entry a pair. Lists of the items that changed are ranked and published a few times a second.
 *
 * <p>Arguments: broker, topic of purchases, topic of related items, directory of the state. The topic of changes, which is
 * that of purchases and "-changes", is there already. Each second it prints a line
 * of JSON: the order lines read, changes sent, changes counted, items waiting for their list, lists published.
 */
public final class CoPurchases {
  static final AtomicLong LINES = new AtomicLong();
  static final AtomicLong SENT = new AtomicLong();
  static final AtomicLong COUNTED = new AtomicLong();
  static final AtomicLong WAITING = new AtomicLong();
  static final AtomicLong PUBLISHED = new AtomicLong();

  private CoPurchases() {}

  public static void main(String[] arguments) throws InterruptedException {
    String changes = arguments[1] + "-changes";
    Topology topology = new Topology();
    topology.addSource("purchases", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), arguments[1]);
    topology.addProcessor("histories", Histories::new, "purchases");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("held"), Serdes.String(), Serdes.ByteArray())
            .withCachingEnabled(),
        "histories");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("recent"), Serdes.String(), Serdes.String())
            .withCachingEnabled(),
        "histories");
    topology.addSink("to-changes", changes, Serdes.String().serializer(), Serdes.String().serializer(), "histories");
    topology.addSource("changes", Serdes.String().deserializer(), Serdes.String().deserializer(), changes);
    topology.addProcessor("counts", Counts::new, "changes");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("pairs"), Serdes.String(), Serdes.Long())
            .withCachingEnabled(),
        "counts");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("items"), Serdes.String(), Serdes.String())
            .withCachingEnabled(),
        "counts");
    topology.addSink("related", arguments[2], Serdes.String().serializer(), Serdes.String().serializer(), "counts");

    KafkaStreams streams = new KafkaStreams(topology, settings(arguments[0], arguments[1], arguments[3]));
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    CountDownLatch ended = new CountDownLatch(1);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> { streams.close(); ended.countDown(); }));
    streams.start();
    do {
      System.out.printf(
          "{\"lines\": %d, \"sent\": %d, \"counted\": %d, \"waiting\": %d, \"published\": %d}%n",
          LINES.get(), SENT.get(), COUNTED.get(), WAITING.get(), PUBLISHED.get());
    } while (streams.state() != KafkaStreams.State.ERROR && !ended.await(1, TimeUnit.SECONDS));
  }

  private static Properties settings(String broker, String name, String directory) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, name + "-peer");
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, directory);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    settings.put(StreamsConfig.producerPrefix("linger.ms"), 20);
    settings.put(StreamsConfig.producerPrefix("batch.size"), 256 << 10);
    settings.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
    return settings;
  }
}

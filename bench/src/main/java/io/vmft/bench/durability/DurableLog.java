package io.vmft.bench.durability;

import java.io.IOException;

/** Something that takes blocks and makes them durable. One thread at a time. */
interface DurableLog extends AutoCloseable {
    /** Takes the next block. */
    void append() throws IOException;

    /** Returns when every block taken is durable. */
    void commit() throws IOException;

    @Override
    void close() throws IOException;
}

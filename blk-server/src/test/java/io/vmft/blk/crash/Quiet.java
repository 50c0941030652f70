package io.vmft.blk.crash;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.LoggerFactory;

/** While it is open nothing is logged: for thousands of servers in one process, each judged by what it holds. */
final class Quiet implements AutoCloseable {
    private record Loud(Logger logger, @Nullable Level level) {}

    private final List<Loud> before;

    Quiet() {
        before = List.of(loud(org.slf4j.Logger.ROOT_LOGGER_NAME), loud("io.vmft"));
        before.forEach(some -> some.logger.setLevel(Level.OFF));
    }

    private static Loud loud(String name) {
        Logger logger = (Logger) LoggerFactory.getLogger(name);
        return new Loud(logger, logger.getLevel());
    }

    @Override
    public void close() {
        before.forEach(some -> some.logger.setLevel(some.level));
    }
}

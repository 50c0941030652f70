package io.vmft.bench.durability;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.concurrent.atomic.LongAdder;

/** The system's files, whose syncs are counted. */
final class CountingFiles implements StoreFiles {
    private final LongAdder syncs = new LongAdder();

    long syncs() {
        return syncs.sum();
    }

    @Override
    public StoreFile open(Path path, Access access) throws IOException {
        StoreFile file = SYSTEM.open(path, access);
        return (StoreFile) Proxy.newProxyInstance(
                StoreFile.class.getClassLoader(), new Class<?>[] {StoreFile.class}, (_, method, arguments) -> {
                    if (method.getName().equals("sync")) {
                        syncs.increment();
                    }
                    try {
                        return method.invoke(file, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    @Override
    public void syncDirectory(Path directory) throws IOException {
        SYSTEM.syncDirectory(directory);
    }
}

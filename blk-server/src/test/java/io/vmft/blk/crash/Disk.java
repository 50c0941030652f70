package io.vmft.blk.crash;

import static io.vmft.blk.crash.TraceRecord.folderOf;
import static io.vmft.blk.crash.TraceRecord.lastPartOf;

import io.vmft.blk.crash.CrashedFile.Fate;
import io.vmft.blk.crash.CrashedFolder.Entry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * A disk under a trace of changes, as it may be found when the power goes: {@code docs/durability.md}, "What a disk may do". Not
 * thread-safe.
 */
final class Disk {
    /** Files by path; null content is a folder. */
    record Image(Map<String, byte[]> files, List<String> folders) {}

    private static final Fate[] FATES = Fate.values();

    private final CrashedFolder root = new CrashedFolder();
    private final Map<String, CrashedFolder> folders = new HashMap<>();
    private final Map<Long, CrashedFile> files = new HashMap<>();
    private final Map<Long, String> names = new HashMap<>();
    private final Predicate<String> ignoredSyncs;
    private final Map<Long, Sync> syncs = new HashMap<>();
    private long index;

    private record Sync(long index, Runnable end) {}

    /**
     * An empty one.
     *
     * @param ignoredSyncs files and folders whose syncs do not count: a server that does not make them; folders end with a slash
     */
    Disk(Predicate<String> ignoredSyncs) {
        this.ignoredSyncs = ignoredSyncs;
        folders.put("", root);
    }

    Disk() {
        this(_ -> false);
    }

    /** One that holds what is below a folder now, durably. */
    static Disk found(Path folder) throws IOException {
        Disk disk = new Disk();
        disk.find(folder, "", disk.root);
        return disk;
    }

    private void find(Path path, String name, CrashedFolder folder) throws IOException {
        try (Stream<Path> listed = Files.list(path)) {
            for (Path child : (Iterable<Path>) listed::iterator) {
                String childName = name.isEmpty() ? child.getFileName().toString() : name + "/" + child.getFileName();
                if (Files.isDirectory(child)) {
                    CrashedFolder inner = new CrashedFolder();
                    folder.found(lastPartOf(childName), new Entry(null, inner));
                    folders.put(childName, inner);
                    find(child, childName, inner);
                } else {
                    CrashedFile file = CrashedFile.of(Files.readAllBytes(child));
                    long inode = ((Number) Files.getAttribute(child, "unix:ino")).longValue();
                    folder.found(lastPartOf(childName), new Entry(file, null));
                    files.put(inode, file);
                    names.put(inode, childName);
                }
            }
        }
    }

    void apply(TraceRecord record) {
        index++;
        switch (record.kind()) {
            case CREATE -> {
                CrashedFile file = new CrashedFile();
                files.put(record.inode(), file);
                names.put(record.inode(), record.name());
                folder(record.name()).add(index, lastPartOf(record.name()), new Entry(file, null));
            }
            case MKDIR -> {
                CrashedFolder made = new CrashedFolder();
                folders.put(record.name(), made);
                folder(record.name()).add(index, lastPartOf(record.name()), new Entry(null, made));
            }
            case UNLINK, RMDIR -> folder(record.name()).remove(index, lastPartOf(record.name()));
            case RENAME -> rename(record.name().split("\0", -1));
            case WRITE, ZERO, SIZE, RESERVE -> file(record.inode()).change(index, record);
            case SYNC_BEGIN -> syncs.put(record.length(), sync(record));
            case SYNC_END ->
                Objects.requireNonNull(syncs.remove(record.length())).end.run();
        }
    }

    private void rename(String[] parts) {
        if (!folderOf(parts[0]).equals(folderOf(parts[1]))) {
            throw new IllegalArgumentException("a rename from one folder to another: " + parts[0] + ", " + parts[1]);
        }
        CrashedFolder folder = folder(parts[0]);
        folder.rename(index, lastPartOf(parts[0]), lastPartOf(parts[1]));
    }

    private Sync sync(TraceRecord record) {
        long from = index;
        if (record.inode() == 0) {
            CrashedFolder folder = Objects.requireNonNull(folders.get(record.name()), record.name());
            return new Sync(from, ignoredSyncs.test(record.name() + "/") ? () -> {} : () -> folder.sync(from));
        }
        CrashedFile file = file(record.inode());
        boolean ignored = ignoredSyncs.test(Objects.requireNonNull(names.get(record.inode())));
        return new Sync(from, ignored ? () -> {} : () -> file.sync(from));
    }

    private CrashedFolder folder(String name) {
        return Objects.requireNonNull(folders.get(folderOf(name)), name);
    }

    private CrashedFile file(long inode) {
        return Objects.requireNonNull(files.get(inode), () -> "no file has inode " + inode);
    }

    /** With everything that was done. */
    Image content() {
        return image(CrashedFolder::current, CrashedFile::content);
    }

    /** As it may be when the power goes now. */
    Image crashed(Random random) {
        Fate common = FATES[random.nextInt(FATES.length)];
        boolean together = random.nextBoolean();
        Function<CrashedFile, byte[]> content =
                file -> file.crashed(together ? common : FATES[random.nextInt(FATES.length)], random);
        return image(random.nextBoolean() ? namesInOrder(random) : namesByFolder(random), content);
    }

    /** One journal for all names, as in ext4: a cut leaves all changes up to some point. */
    private Function<CrashedFolder, Map<String, Entry>> namesInOrder(Random random) {
        long least = 0;
        for (CrashedFolder folder : folders.values()) {
            least = Math.max(least, folder.durableIndex());
        }
        long cut = switch (random.nextInt(3)) {
            case 0 -> least;
            case 1 -> index;
            default -> least + (long) (random.nextDouble() * (index - least + 1));
        };
        return folder -> folder.upTo(cut);
    }

    /** Nothing holds but what POSIX says: a folder's names are durable when that folder was synced. */
    private static Function<CrashedFolder, Map<String, Entry>> namesByFolder(Random random) {
        return folder -> {
            int count = folder.pendingCount();
            return folder.withFirst(
                    switch (random.nextInt(3)) {
                        case 0 -> 0;
                        case 1 -> count;
                        default -> random.nextInt(count + 1);
                    });
        };
    }

    private Image image(Function<CrashedFolder, Map<String, Entry>> entries, Function<CrashedFile, byte[]> content) {
        Image image = new Image(new TreeMap<>(), new ArrayList<>());
        collect(root, "", entries, content, image);
        return image;
    }

    private static void collect(
            CrashedFolder folder,
            String prefix,
            Function<CrashedFolder, Map<String, Entry>> entries,
            Function<CrashedFile, byte[]> content,
            Image image) {
        for (Map.Entry<String, Entry> entry : new TreeMap<>(entries.apply(folder)).entrySet()) {
            String name = prefix + entry.getKey();
            CrashedFolder inner = entry.getValue().folder();
            CrashedFile file = entry.getValue().file();
            if (inner != null) {
                image.folders.add(name);
                collect(inner, name + "/", entries, content, image);
            } else if (file != null) {
                image.files.put(name, content.apply(file));
            }
        }
    }

    /** Puts it where a server can find it: an empty folder. */
    static void write(Image image, Path target) throws IOException {
        for (String folder : image.folders) {
            Files.createDirectory(target.resolve(folder));
        }
        for (Map.Entry<String, byte[]> file : image.files.entrySet()) {
            Files.write(target.resolve(file.getKey()), file.getValue());
        }
    }
}

package io.vmft.blk.nbd;

import java.io.IOException;
import java.net.ConnectException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * The file of a listening unix socket. The socket is bound inside a directory only its owner can enter, gets its mode there,
 * and is then renamed to its place: at no moment can anybody connect whom the mode does not admit.
 */
final class UnixSocketFile {
    private final ListenAddress.Unix address;
    private final Path nursery;
    private @Nullable Object fileKey;

    private UnixSocketFile(ListenAddress.Unix address, Path nursery) {
        this.address = address;
        this.nursery = nursery;
    }

    /**
     * Makes room for a socket at {@code address}: removes the file a dead server left.
     *
     * @throws IOException if a live server listens there, or something else than a socket is in the way
     */
    static UnixSocketFile prepare(ListenAddress.Unix address) throws IOException {
        Path path = address.path();
        if (Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            if (!Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                    .isOther()) {
                throw new FileAlreadyExistsException(path + " exists and is not a socket; remove it or choose another");
            }
            if (answers(path)) {
                throw new FileAlreadyExistsException(
                        "another server listens on " + path + "; stop it or choose another path");
            }
        }
        Path parent = Objects.requireNonNullElse(path.toAbsolutePath().getParent(), Path.of("/"));
        String name = ".n" + Integer.toString(ThreadLocalRandom.current().nextInt(36 * 36 * 36 * 36), 36);
        Path nursery = Files.createDirectory(
                parent.resolve(name),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        return new UnixSocketFile(address, nursery);
    }

    /** Where to bind. */
    ListenAddress.Unix bindAddress() {
        return new ListenAddress.Unix(nursery.resolve("s"));
    }

    /** Opens the bound socket to clients. */
    void publish() throws IOException {
        Path bound = nursery.resolve("s");
        Files.setPosixFilePermissions(bound, permissions(address.mode()));
        fileKey = fileKey(bound);
        Files.move(bound, address.path(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        Files.delete(nursery);
    }

    /** Removes what is left of this socket; a file another server has put in its place stays. */
    void remove() throws IOException {
        Files.deleteIfExists(nursery.resolve("s"));
        Files.deleteIfExists(nursery);
        if (fileKey != null
                && Files.exists(address.path(), LinkOption.NOFOLLOW_LINKS)
                && fileKey.equals(fileKey(address.path()))) {
            Files.delete(address.path());
        }
    }

    private static boolean answers(Path path) throws IOException {
        try (SocketChannel _ = SocketChannel.open(UnixDomainSocketAddress.of(path))) {
            return true;
        } catch (ConnectException e) {
            return false;
        }
    }

    private static @Nullable Object fileKey(Path path) throws IOException {
        return Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                .fileKey();
    }

    private static Set<PosixFilePermission> permissions(int mode) {
        Set<PosixFilePermission> permissions = EnumSet.noneOf(PosixFilePermission.class);
        PosixFilePermission[] fromHighestBit = {
            PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE, PosixFilePermission.OWNER_EXECUTE,
            PosixFilePermission.GROUP_READ, PosixFilePermission.GROUP_WRITE, PosixFilePermission.GROUP_EXECUTE,
            PosixFilePermission.OTHERS_READ, PosixFilePermission.OTHERS_WRITE, PosixFilePermission.OTHERS_EXECUTE
        };
        for (int i = 0; i < fromHighestBit.length; i++) {
            if ((mode & (0400 >> i)) != 0) {
                permissions.add(fromHighestBit[i]);
            }
        }
        return permissions;
    }
}

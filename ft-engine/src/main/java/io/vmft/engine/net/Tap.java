package io.vmft.engine.net;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * A tap interface of this host, held by this process. One that was made here goes when it is closed; one that an operator made
 * before ({@code ip tuntap add}) stays.
 *
 * <p>Source: Linux, {@code Documentation/networking/tuntap.rst}.
 */
public final class Tap implements FramePort {
    private static final long TUNSETIFF = 0x400454caL;
    private static final long SIOCGIFFLAGS = 0x8913;
    private static final long SIOCSIFFLAGS = 0x8914;
    private static final long SIOCGIFINDEX = 0x8933;
    private static final long SIOCBRADDIF = 0x89a2;
    private static final long SIOCBRDELIF = 0x89a3;
    private static final short IFF_TAP_NO_PI = 0x1002;
    private static final short IFF_UP = 1;

    private static final int IFREQ_BYTES = 40;
    private static final int IFREQ_VALUE = 16;
    private static final int POLLFD_BYTES = 8;

    private final String name;
    private final int fd;

    /** Readable once closed: ends the poll of {@link #receive}. */
    private final int wakeFd;

    private final MemorySegment pollFds = Arena.ofAuto().allocate(2 * POLLFD_BYTES, 8);

    /** Read-held around every use of the descriptors, so that none is used after it was closed and given out again. */
    private final ReentrantReadWriteLock inUse = new ReentrantReadWriteLock();

    private final AtomicBoolean closed = new AtomicBoolean();

    private Tap(String name, int fd, int wakeFd) {
        this.name = name;
        this.fd = fd;
        this.wakeFd = wakeFd;
        pollFds.set(JAVA_INT, 0, fd);
        pollFds.set(JAVA_SHORT, 4, LibC.POLLIN);
        pollFds.set(JAVA_INT, POLLFD_BYTES, wakeFd);
        pollFds.set(JAVA_SHORT, POLLFD_BYTES + 4, LibC.POLLIN);
    }

    /**
     * Opens the interface, making it if there is none, puts it into the bridge and sets it up.
     *
     * @param name 1 to 15 characters
     * @throws TapException if that cannot be done; what was made is gone again
     */
    public static Tap open(String name, Optional<String> bridge) throws TapException {
        try (Arena arena = Arena.ofConfined()) {
            int fd = LibC.open(arena.allocateFrom("/dev/net/tun"), LibC.O_RDWR | LibC.O_NONBLOCK | LibC.O_CLOEXEC);
            if (fd < 0) {
                throw new TapException(name, -fd, "cannot open /dev/net/tun: " + openReason(-fd));
            }
            try {
                MemorySegment request = ifreq(arena, name);
                request.set(JAVA_SHORT, IFREQ_VALUE, IFF_TAP_NO_PI);
                int attached = LibC.ioctl(fd, TUNSETIFF, request);
                if (attached < 0) {
                    throw new TapException(name, -attached, attachReason(name, -attached));
                }
                int wakeFd = LibC.eventfd(0, LibC.EFD_CLOEXEC);
                if (wakeFd < 0) {
                    throw new TapException(name, -wakeFd, "no event descriptor: " + LibC.words(-wakeFd));
                }
                try {
                    configure(arena, name, bridge);
                    return new Tap(name, fd, wakeFd);
                } catch (TapException e) {
                    LibC.close(wakeFd);
                    throw e;
                }
            } catch (TapException e) {
                LibC.close(fd);
                throw e;
            }
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public boolean send(MemorySegment memory, long offset, int lengthBytes) throws IOException {
        inUse.readLock().lock();
        try {
            while (!closed.get()) {
                long n = LibC.write(fd, memory.asSlice(offset, lengthBytes), lengthBytes);
                if (n >= 0) {
                    return true;
                }
                switch ((int) -n) {
                    case LibC.EINTR -> {}
                    // Down, out of memory, or no Ethernet frame.
                    case LibC.EIO, LibC.EAGAIN, LibC.ENOMEM, LibC.ENOBUFS, LibC.EINVAL -> {
                        return false;
                    }
                    default -> throw broken("write", (int) -n);
                }
            }
            throw new IOException("tap " + name + " is closed");
        } finally {
            inUse.readLock().unlock();
        }
    }

    @Override
    public int receive(MemorySegment memory, long offset) throws IOException {
        inUse.readLock().lock();
        try {
            MemorySegment room = memory.asSlice(offset);
            while (!closed.get()) {
                long n = LibC.read(fd, room, room.byteSize());
                if (n > 0) {
                    return (int) n;
                }
                if (n == -LibC.EAGAIN) {
                    int ready = LibC.poll(pollFds, 2, -1);
                    if (ready < 0 && ready != -LibC.EINTR) {
                        throw broken("poll", -ready);
                    }
                } else if (n < 0 && n != -LibC.EINTR) {
                    throw broken("read", (int) -n);
                }
            }
            return -1;
        } finally {
            inUse.readLock().unlock();
        }
    }

    @Override
    public void close() {
        if (!closed.compareAndSet(false, true)) {
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment one = arena.allocate(JAVA_LONG);
            one.set(JAVA_LONG, 0, 1);
            LibC.write(wakeFd, one, JAVA_LONG.byteSize());
        }
        inUse.writeLock().lock();
        try {
            LibC.close(fd);
            LibC.close(wakeFd);
        } finally {
            inUse.writeLock().unlock();
        }
    }

    private TapException broken(String call, int errno) {
        return new TapException(name, errno, call + " failed: " + LibC.words(errno) + "; was the interface deleted?");
    }

    private static void configure(Arena arena, String name, Optional<String> bridge) throws TapException {
        int socket = LibC.socket(LibC.AF_INET, LibC.SOCK_DGRAM_CLOEXEC, 0);
        if (socket < 0) {
            throw new TapException(name, -socket, "no socket to set it up with: " + LibC.words(-socket));
        }
        try {
            if (bridge.isPresent()) {
                putInto(arena, socket, name, bridge.get());
            }
            setUp(arena, socket, name);
        } finally {
            LibC.close(socket);
        }
    }

    private static void putInto(Arena arena, int socket, String name, String bridge) throws TapException {
        MemorySegment request = ifreq(arena, name);
        int found = LibC.ioctl(socket, SIOCGIFINDEX, request);
        if (found < 0) {
            throw new TapException(name, -found, "has no index: " + LibC.words(-found));
        }
        MemorySegment join = ifreq(arena, bridge);
        join.set(JAVA_INT, IFREQ_VALUE, request.get(JAVA_INT, IFREQ_VALUE));
        int joined = LibC.ioctl(socket, SIOCBRADDIF, join);
        if (joined == -LibC.EBUSY && LibC.ioctl(socket, SIOCBRDELIF, join) >= 0) {
            // It was in this bridge already.
            joined = LibC.ioctl(socket, SIOCBRADDIF, join);
        }
        if (joined < 0) {
            throw new TapException(name, -joined, joinReason(name, bridge, -joined));
        }
    }

    private static void setUp(Arena arena, int socket, String name) throws TapException {
        MemorySegment request = ifreq(arena, name);
        int read = LibC.ioctl(socket, SIOCGIFFLAGS, request);
        short flags = request.get(JAVA_SHORT, IFREQ_VALUE);
        if (read >= 0 && (flags & IFF_UP) != 0) {
            return;
        }
        request.set(JAVA_SHORT, IFREQ_VALUE, (short) (flags | IFF_UP));
        int set = read < 0 ? read : LibC.ioctl(socket, SIOCSIFFLAGS, request);
        if (set < 0) {
            throw new TapException(
                    name, -set, "cannot be set up: " + LibC.words(-set) + "; run ip link set " + name + " up as root");
        }
    }

    private static MemorySegment ifreq(Arena arena, String interfaceName) {
        byte[] bytes = interfaceName.getBytes(StandardCharsets.US_ASCII);
        if (bytes.length == 0 || bytes.length >= IFREQ_VALUE) {
            throw new IllegalArgumentException(
                    "\"" + interfaceName + "\" is not an interface name of 1 to 15 characters");
        }
        MemorySegment request = arena.allocate(IFREQ_BYTES, 8);
        MemorySegment.copy(bytes, 0, request, JAVA_BYTE, 0, bytes.length);
        return request;
    }

    private static String openReason(int errno) {
        return switch (errno) {
            case LibC.ENOENT, LibC.ENODEV, LibC.ENXIO -> LibC.words(errno) + "; load the module: modprobe tun";
            case LibC.EPERM, LibC.EACCES ->
                LibC.words(errno) + "; run as root, or give this user access to /dev/net/tun";
            default -> LibC.words(errno);
        };
    }

    private static String attachReason(String name, int errno) {
        return switch (errno) {
            case LibC.EPERM, LibC.EACCES ->
                "not permitted; run as root, or make it first: ip tuntap add " + name + " mode tap user $USER";
            case LibC.EBUSY -> "is in use by another process; end that one, or use another tap";
            case LibC.EINVAL -> "exists and is not a plain tap interface; use another name";
            default -> "cannot be attached: " + LibC.words(errno);
        };
    }

    private static String joinReason(String name, String bridge, int errno) {
        return switch (errno) {
            case LibC.ENODEV -> "bridge " + bridge + " does not exist; make it: ip link add " + bridge + " type bridge";
            case LibC.EBUSY ->
                "is in another bridge than " + bridge + "; take it out: ip link set " + name + " nomaster";
            case LibC.EPERM, LibC.EACCES ->
                "not permitted to put it into bridge " + bridge + "; run as root, or put it there first";
            default -> "cannot be put into " + bridge + ": " + LibC.words(errno) + "; is that a bridge?";
        };
    }
}

package io.vmft.engine.qemu;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Whether this host's KVM runs a guest kernel at the processor's speed. Some do not: under software-virtualised nesting only user
 * mode runs natively and kernel mode is interpreted, a thousand times slower; an operating system never comes up there.
 *
 * <p>The probe runs a firmware of a few instructions that counts in 32-bit kernel mode and times the counting, not QEMU's start.
 */
final class KvmProbe {
    /**
     * How it went.
     *
     * @param usable whether an operating system can run under KVM here
     * @param reason a part of a sentence
     */
    record Result(boolean usable, String reason) {}

    private static final Path DEVICE = Path.of("/dev/kvm");
    private static final Duration START_TIMEOUT = Duration.ofSeconds(15);

    /** Counting takes 10 ms at native speed and 20 s when interpreted. */
    private static final Duration COUNT_TIMEOUT = Duration.ofSeconds(1);

    private static final int FIRMWARE_BYTES = 1 << 16;
    private static final int CODE_OFFSET = 0xff00;
    private static final int RESET_OFFSET = 0xfff0;

    private static final String CODE = String.join(
            "",
            "fa", // 00 cli
            "2e660f011640ff", // 01 lgdt cs:[0xff40]
            "0f20c0", // 08 mov eax, cr0
            "0c01", // 0b or al, 1
            "0f22c0", // 0d mov cr0, eax
            "66ea18ff0f000800", // 10 jmp 0x08:0x000fff18
            "b053e6e9", // 18 32 bits: out 0xe9, 'S'
            "b980969800", // 1c mov ecx, 10000000
            "4975fd", // 21 dec ecx; jnz
            "b045e6e9", // 24 out 0xe9, 'E'
            "f4ebfd"); // 28 hlt; jmp

    private static final int TABLE_OFFSET = 0xff40;

    /** The segments are marked as accessed, since the processor cannot mark them in a ROM. */
    private static final String TABLE = String.join(
            "",
            "170048ff0f000000", // descriptor: limit 0x17, base 0x000fff48
            "0000000000000000",
            "ffff0000009bcf00", // 0x08 code, flat
            "ffff00000093cf00"); // 0x10 data, flat

    /** jmp 0xf000:0xff00 */
    private static final String RESET = "ea00ff00f0";

    private KvmProbe() {}

    /** Looks at the device only: whether {@code accelerator: kvm} can be tried at all. */
    static Result device() {
        if (!Files.exists(DEVICE)) {
            return new Result(false, "there is no /dev/kvm");
        }
        if (!Files.isReadable(DEVICE) || !Files.isWritable(DEVICE)) {
            return new Result(false, "/dev/kvm is not accessible to this user");
        }
        return new Result(true, "/dev/kvm opens");
    }

    /** Runs the firmware. Takes as long as QEMU's start, and a second more where KVM is slow. */
    static Result run(Path qemu) throws InterruptedException {
        Result device = device();
        if (!device.usable()) {
            return device;
        }
        return run(qemu, "kvm");
    }

    /** Runs the firmware under {@code accelerator}. */
    static Result run(Path qemu, String accelerator) throws InterruptedException {
        Path firmware = null;
        try {
            firmware = Files.createTempFile("vmft-kvm-probe", ".bin");
            Files.write(firmware, firmware());
            return run(qemu, accelerator, firmware);
        } catch (IOException e) {
            return new Result(false, "KVM could not be tried: " + e.getMessage());
        } finally {
            if (firmware != null) {
                delete(firmware);
            }
        }
    }

    static byte[] firmware() {
        byte[] image = new byte[FIRMWARE_BYTES];
        put(image, CODE_OFFSET, CODE);
        put(image, TABLE_OFFSET, TABLE);
        put(image, RESET_OFFSET, RESET);
        return image;
    }

    private static Result run(Path qemu, String accelerator, Path firmware) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(List.of(
                        qemu.toString(),
                        "-nodefaults",
                        "-no-user-config",
                        "-display",
                        "none",
                        "-machine",
                        "pc,accel=" + accelerator,
                        "-m",
                        "16M",
                        "-bios",
                        firmware.toString(),
                        "-chardev",
                        "stdio,id=out,signal=off",
                        "-device",
                        "isa-debugcon,chardev=out"))
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try (InputStream out = process.getInputStream()) {
            if (next(out, START_TIMEOUT) != 'S') {
                return new Result(false, "QEMU does not start a guest with KVM");
            }
            long startNanos = System.nanoTime();
            if (next(out, COUNT_TIMEOUT) != 'E') {
                return new Result(
                        false,
                        "KVM on this host does not run kernel code at the processor's speed (nested in software?)");
            }
            long millis = (System.nanoTime() - startNanos) / 1_000_000;
            return new Result(true, "KVM runs kernel code at speed (20 million instructions in " + millis + " ms)");
        } finally {
            process.destroyForcibly();
            process.waitFor();
        }
    }

    /** The next byte, or -1 if none comes in time. */
    private static int next(InputStream in, Duration timeout) throws InterruptedException {
        CompletableFuture<Integer> result = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                result.complete(in.read());
            } catch (IOException e) {
                result.completeExceptionally(new UncheckedIOException(e));
            }
        });
        try {
            return result.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException | ExecutionException e) {
            return -1;
        }
    }

    private static void put(byte[] image, int offset, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex);
        System.arraycopy(bytes, 0, image, offset, bytes.length);
    }

    private static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            // A few bytes in the temporary folder, where others clean up.
            file.toFile().deleteOnExit();
        }
    }
}

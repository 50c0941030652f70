package io.vmft.engine.config;

import io.vmft.config.ConfigException;
import io.vmft.config.IoReasons;
import io.vmft.config.Quantity;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * What primary and standby must agree on for one's device state to fit the other's QEMU.
 *
 * @param facts name of a fact → its value, both in words for an operator; sorted, unmodifiable
 */
public record Fingerprint(SortedMap<String, String> facts) {
    public Fingerprint {
        facts = Collections.unmodifiableSortedMap(new TreeMap<>(facts));
    }

    /** From facts that came over the wire. */
    public static Fingerprint of(Map<String, String> facts) {
        return new Fingerprint(new TreeMap<>(facts));
    }

    static Fingerprint of(VmConfig config) throws ConfigException {
        TreeMap<String, String> facts = new TreeMap<>();
        facts.put("name", config.name());
        facts.put("memory", Quantity.sizeInWords(config.memoryBytes()));
        facts.put("cpus", Integer.toString(config.cpus()));
        facts.put("accelerator", config.accelerator().toString());
        config.cpuModel().ifPresent(model -> facts.put("cpu_model", model));
        facts.put("machine", config.machine());
        facts.put("virtio", config.virtio().toString());
        for (int i = 0; i < config.disks().size(); i++) {
            facts.put("disk " + i, config.disks().get(i).volume());
        }
        for (int i = 0; i < config.nics().size(); i++) {
            facts.put("nic " + i, config.nics().get(i).mac());
        }
        Optional<DirectBoot> boot = config.boot();
        if (boot.isPresent()) {
            facts.put("kernel", contents("kernel", boot.get().kernel()));
            if (boot.get().initrd().isPresent()) {
                facts.put("initrd", contents("initrd", boot.get().initrd().get()));
            }
            facts.put("append", boot.get().append());
        }
        facts.put("vga", config.display().vga() ? "std" : "none");
        facts.put("firmware_kind", config.uefi().isPresent() ? "uefi" : "bios");
        if (!config.qemuArgs().isEmpty()) {
            facts.put("qemu_args", String.join(" ", config.qemuArgs()));
        }
        return new Fingerprint(facts);
    }

    /** This fingerprint with one more fact, or another value of a fact. */
    public Fingerprint with(String fact, String value) {
        TreeMap<String, String> copy = new TreeMap<>(facts);
        copy.put(fact, value);
        return new Fingerprint(copy);
    }

    /**
     * Lists in words what differs.
     *
     * @param there the other host's
     * @return for example {@code memory is 256 MiB here, 512 MiB there}; empty if both agree
     */
    public List<String> differencesFrom(Fingerprint there) {
        SortedSet<String> names = new TreeSet<>(facts.keySet());
        names.addAll(there.facts.keySet());
        List<String> differences = new ArrayList<>();
        for (String name : names) {
            String mine = facts.getOrDefault(name, "not set");
            String theirs = there.facts.getOrDefault(name, "not set");
            if (!mine.equals(theirs)) {
                differences.add(name + " is " + mine + " here, " + theirs + " there");
            }
        }
        return differences;
    }

    /** All facts as one short token: equal if and only if (but for SHA-256 collisions) the facts are. */
    public String digest() {
        MessageDigest sha = sha256();
        facts.forEach((name, value) -> {
            sha.update(name.getBytes(StandardCharsets.UTF_8));
            sha.update((byte) 0);
            sha.update(value.getBytes(StandardCharsets.UTF_8));
            sha.update((byte) 0);
        });
        return HexFormat.of().formatHex(sha.digest());
    }

    /** A file's contents as a fact. */
    public static String contents(Path file) throws IOException {
        MessageDigest sha = sha256();
        try (InputStream in = Files.newInputStream(file)) {
            byte[] buffer = new byte[1 << 16];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                sha.update(buffer, 0, n);
            }
        }
        return "sha256 " + HexFormat.of().formatHex(sha.digest(), 0, 8);
    }

    private static String contents(String key, Path file) throws ConfigException {
        try {
            return contents(file);
        } catch (IOException e) {
            throw new ConfigException(
                    key + ": " + file + " cannot be read (" + IoReasons.of(e) + "); put the file there", e);
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}

package io.vmft.engine.qemu;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.vmft.engine.config.Accelerator;
import io.vmft.engine.config.DirectBoot;
import io.vmft.engine.config.Disk;
import io.vmft.engine.config.Display;
import io.vmft.engine.config.Endpoint;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.Endpoint.UnixPath;
import io.vmft.engine.config.Nic;
import io.vmft.engine.config.Uefi;
import io.vmft.engine.config.Virtio;
import io.vmft.engine.config.VmConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * QEMU's command line for a VM: a pure function. Primary and standby get the same one but for paths, the exports' generation and
 * {@code -incoming}: ids and PCI addresses are fixed, so that one's device state fits the other.
 */
public final class QemuCommandLine {
    /** What QEMU calls guest RAM. */
    public static final String RAM_ID = "ram0";

    private static final String CODE_ID = "firmware-code";
    private static final String VARS_ID = "firmware-vars";

    private static final ObjectMapper JSON = new ObjectMapper();

    /** Slot 1 is the chip set's, 2 is left for a display; cards of {@code qemu_args} take what is free. */
    private static final int DISPLAY_SLOT = 0x02;

    private static final int FIRST_DISK_SLOT = 0x04;

    private static final int FIRST_NIC_SLOT = 0x10;

    /** The block server may be away for a day before the guest sees an I/O error. */
    private static final int RECONNECT_DELAY_SECONDS = 86_400;

    private static final Set<String> DISPLAYS =
            Set.of("-display", "-vnc", "-spice", "-nographic", "-sdl", "-gtk", "-curses");

    private final VmConfig config;
    private final QemuInfo info;
    private final QemuRuntime runtime;
    private final List<String> arguments = new ArrayList<>();

    private QemuCommandLine(VmConfig config, QemuInfo info, QemuRuntime runtime) {
        this.config = config;
        this.info = info;
        this.runtime = runtime;
    }

    /** The binary and its arguments. */
    public static List<String> of(VmConfig config, QemuInfo info, QemuRuntime runtime) {
        return new QemuCommandLine(config, info, runtime).build();
    }

    private List<String> build() {
        arguments.add(info.binary().toString());
        add("-name", "guest=" + config.name() + ",debug-threads=on");
        arguments.add("-nodefaults");
        arguments.add("-no-user-config");
        config.uefi().ifPresent(this::addFlash);
        addMachine();
        addDisplay();
        addQmp();
        addSerial();
        config.boot().ifPresent(this::addBoot);
        for (int i = 0; i < config.disks().size(); i++) {
            addDisk(i);
        }
        for (int i = 0; i < config.nics().size(); i++) {
            addNic(i);
        }
        if (runtime.incoming()) {
            add("-incoming", "defer");
        }
        arguments.addAll(config.qemuArgs());
        return List.copyOf(arguments);
    }

    private void addMachine() {
        add(
                "-machine",
                info.machine() + ",memory-backend=" + RAM_ID + ",dump-guest-core=off"
                        + (config.uefi().isPresent() ? ",pflash0=" + CODE_ID + ",pflash1=" + VARS_ID : ""));
        add("-accel", info.accelerator() == Accelerator.KVM ? "kvm" : "tcg");
        if (!info.cpuModel().isEmpty()) {
            add("-cpu", info.cpuModel());
        }
        add("-smp", Integer.toString(config.cpus()));
        add("-m", (config.memoryBytes() >> 20) + "M");
        add(
                "-object",
                node("qom-type", "memory-backend-file")
                        .put("id", RAM_ID)
                        .put("size", config.memoryBytes())
                        .put("mem-path", runtime.ramFile().toString())
                        .put("share", true));
    }

    /** Two chips: what the firmware is, and what it keeps. */
    private void addFlash(Uefi uefi) {
        addFlashChip(CODE_ID, uefi.code(), true);
        addFlashChip(VARS_ID, uefi.vars(), false);
    }

    private void addFlashChip(String id, Path file, boolean readOnly) {
        add(
                "-blockdev",
                node("driver", "file")
                        .put("node-name", id + "-file")
                        .put("filename", file.toString())
                        .put("read-only", readOnly));
        add(
                "-blockdev",
                node("driver", "raw")
                        .put("node-name", id)
                        .put("file", id + "-file")
                        .put("read-only", readOnly));
    }

    private void addDisplay() {
        if (config.display().vnc().isPresent()) {
            HostPort vnc = config.display().vnc().get();
            String host = vnc.host().indexOf(':') >= 0 ? "[" + vnc.host() + "]" : vnc.host();
            add("-vnc", host + ":" + (vnc.port() - Display.FIRST_VNC_PORT));
        } else if (config.qemuArgs().stream().noneMatch(DISPLAYS::contains)) {
            add("-display", "none");
        }
        if (config.display().vga()) {
            add("-vga", "none");
            add("-device", pciDevice("VGA", "vga0", DISPLAY_SLOT));
        } else if (!config.qemuArgs().contains("-vga")) {
            add("-vga", "none");
        }
    }

    private void addQmp() {
        add("-chardev", "socket,id=qmp0,server=off,path=" + escape(runtime.qmpSocket()));
        add("-mon", "chardev=qmp0,mode=control");
    }

    /** There always is a serial port, so that both hosts have the same devices wherever its output goes. */
    private void addSerial() {
        add(
                "-chardev",
                config.serial()
                        .map(path -> "file,id=serial0,append=on,path=" + escape(path))
                        .orElse("null,id=serial0"));
        add("-serial", "chardev:serial0");
    }

    private void addBoot(DirectBoot boot) {
        add("-kernel", boot.kernel().toString());
        boot.initrd().ifPresent(initrd -> add("-initrd", initrd.toString()));
        if (!boot.append().isEmpty()) {
            add("-append", boot.append());
        }
    }

    private void addDisk(int index) {
        Disk disk = config.disks().get(index);
        String volume = disk.volume();
        String export = runtime.generation() == 0 ? volume : volume + "@" + runtime.generation();
        ObjectNode transport = node("driver", "nbd")
                .put("node-name", "nbd" + index)
                .put("export", export)
                .put("reconnect-delay", RECONNECT_DELAY_SECONDS)
                .put("discard", "unmap");
        transport.set("server", server(config.blkServer()));
        add("-blockdev", transport);
        add(
                "-blockdev",
                node("driver", "raw")
                        .put("node-name", "disk" + index)
                        .put("file", "nbd" + index)
                        .put("discard", "unmap"));
        ObjectNode device = virtioDevice("virtio-blk-pci", "blk" + index, FIRST_DISK_SLOT + index)
                .put("drive", "disk" + index)
                .put("num-queues", 1)
                .put("werror", disk.errors().onWrite())
                .put("rerror", disk.errors().onRead());
        add("-device", config.boot().isEmpty() ? device.put("bootindex", index + 1) : device);
    }

    private void addNic(int index) {
        Nic nic = config.nics().get(index);
        ObjectNode backend = node("type", "stream").put("id", "net" + index).put("server", false);
        backend.set(
                "addr",
                node("type", "unix").put("path", runtime.nicSocket(index).toString()));
        add("-netdev", backend);
        // The guest boots from its disks; an option ROM would be memory to copy for nothing.
        add(
                "-device",
                virtioDevice("virtio-net-pci", "nic" + index, FIRST_NIC_SLOT + index)
                        .put("netdev", "net" + index)
                        .put("mac", nic.mac())
                        .put("romfile", ""));
    }

    private ObjectNode virtioDevice(String driver, String id, int slot) {
        ObjectNode device = pciDevice(driver, id, slot);
        return config.virtio() == Virtio.LEGACY ? device.put("disable-modern", true) : device;
    }

    private ObjectNode pciDevice(String driver, String id, int slot) {
        return node("driver", driver)
                .put("id", id)
                .put("bus", info.machine().contains("q35") ? "pcie.0" : "pci.0")
                .put("addr", "0x" + Integer.toHexString(slot));
    }

    private static ObjectNode server(Endpoint endpoint) {
        return switch (endpoint) {
            case HostPort(var host, var port) ->
                node("type", "inet").put("host", host).put("port", Integer.toString(port));
            case UnixPath(var path) ->
                node("type", "unix").put("path", path.toAbsolutePath().toString());
        };
    }

    private static ObjectNode node(String key, String value) {
        return JsonNodeFactory.instance.objectNode().put(key, value);
    }

    private void add(String option, ObjectNode value) {
        try {
            add(option, JSON.writeValueAsString(value));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a tree of strings and numbers can be written", e);
        }
    }

    private void add(String option, String value) {
        arguments.add(option);
        arguments.add(value);
    }

    /** In {@code key=value,…} a comma is written twice. */
    private static String escape(Object value) {
        return value.toString().replace(",", ",,");
    }
}

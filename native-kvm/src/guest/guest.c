/*
 * The test guest: writes memory at native speed, forever, in a pattern that whoever reads its memory can work out again from
 * the counter page. It runs in ring 3 without interrupts; see start.S.
 *
 * Write number i (from 1) draws x from xorshift64 seeded with SEED and stores x ^ i in word (x >> 32) % 512 of page FIRST + x % PAGES;
 * then the counter page says i. A pause may fall between the two. The counter page also has the time stamp counter as it was then.
 *
 * Command line, all optional, decimal:
 *   seed=1          not 0
 *   first=4096      the first page of the range, in pages (16 MiB)
 *   pages=4096      pages in the range
 *   pace=0          pause instructions after each write
 *   report=1000000  a line "vmft-guest COUNT" on COM1 after so many writes
 *   draw=0          with the first so many writes also a pixel on the screen of QEMU's standard VGA, which must be there; then a line
 *                   "vmft-guest drawn" on COM1
 */
#include <stdint.h>

#define COUNTER_PAGE 0x200000u
#define MAGIC 0x5453454754464d56ull /* "VMFTGEST" */
#define COM1 0x3f8
#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define STANDARD_VGA 0x11111234u /* device and vendor */
#define VBE_INDEX 0x1ce
#define VBE_DATA 0x1cf
#define WIDTH 640u
#define HEIGHT 480u

struct counter_page {
    uint64_t magic;
    uint64_t seed;
    uint64_t first;
    uint64_t pages;
    uint64_t writes;
    uint64_t tsc;
};

struct multiboot_info {
    uint32_t flags;
    uint32_t memory[2];
    uint32_t boot_device;
    uint32_t command_line;
};

static void out(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void out_word(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static uint32_t pci_read(uint32_t device, uint32_t offset) {
    uint32_t value;
    __asm__ volatile("outl %0, %1" : : "a"(0x80000000u | device << 11 | offset), "Nd"((uint16_t)PCI_ADDRESS));
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"((uint16_t)PCI_DATA));
    return value;
}

static void set_vbe(uint16_t index, uint16_t value) {
    out_word(VBE_INDEX, index);
    out_word(VBE_DATA, value);
}

/* Switches QEMU's standard VGA (Bochs' VBE interface) to 32-bit pixels; NULL if there is none. */
static volatile uint32_t *open_screen(void) {
    for (uint32_t device = 0; device < 32; device++) {
        if (pci_read(device, 0) == STANDARD_VGA) {
            set_vbe(4, 0);
            set_vbe(1, WIDTH);
            set_vbe(2, HEIGHT);
            set_vbe(3, 32);
            set_vbe(4, 0x41); /* enabled, linear */
            return (volatile uint32_t *)(uintptr_t)(pci_read(device, 0x10) & ~0xfu);
        }
    }
    return 0;
}

static void print(const char *text) {
    for (; *text != '\0'; text++) {
        while ((in(COM1 + 5) & 0x20) == 0) {
        }
        out(COM1, (uint8_t)*text);
    }
}

static void print_number(uint64_t number) {
    char text[21];
    char *at = text + sizeof text - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    print(at);
}

static uint64_t option(const char *line, const char *name, uint64_t otherwise) {
    for (; *line != '\0'; line++) {
        const char *l = line;
        const char *n = name;
        while (*n != '\0' && *l == *n) {
            l++;
            n++;
        }
        if (*n == '\0' && *l == '=') {
            uint64_t value = 0;
            while (*++l >= '0' && *l <= '9') {
                value = value * 10 + (uint64_t)(*l - '0');
            }
            return value;
        }
    }
    return otherwise;
}

void guest_main(const struct multiboot_info *info) {
    const char *line = (info->flags & 4) != 0 ? (const char *)(uintptr_t)info->command_line : "";
    volatile struct counter_page *counter = (volatile struct counter_page *)(uintptr_t)COUNTER_PAGE;
    uint64_t seed = option(line, "seed", 1);
    uint64_t first = option(line, "first", 4096);
    uint64_t pages = option(line, "pages", 4096);
    uint64_t pace = option(line, "pace", 0);
    uint64_t report = option(line, "report", 1000000);
    uint64_t draw = option(line, "draw", 0);
    counter->seed = seed;
    counter->first = first;
    counter->pages = pages;
    counter->writes = 0;
    counter->magic = MAGIC;
    print("vmft-guest 0\n");
    volatile uint32_t *screen = draw > 0 ? open_screen() : 0;

    uint64_t x = seed;
    uint64_t until_report = report;
    for (uint64_t i = 1;; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        volatile uint64_t *page = (volatile uint64_t *)(uintptr_t)((first + x % pages) * 4096);
        page[(x >> 32) % 512] = x ^ i;
        counter->writes = i;
        counter->tsc = __builtin_ia32_rdtsc();
        if (screen != 0 && draw > 0) {
            screen[(x >> 20) % (WIDTH * HEIGHT)] = (uint32_t)x & 0xffffffu;
            if (--draw == 0) {
                print("vmft-guest drawn\n");
            }
        }
        for (uint64_t p = 0; p < pace; p++) {
            __asm__ volatile("pause");
        }
        if (--until_report == 0) {
            until_report = report;
            print("vmft-guest ");
            print_number(i);
            print("\n");
        }
    }
}

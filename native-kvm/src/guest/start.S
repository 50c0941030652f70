/*
 * From multiboot's 32-bit protected mode to user-mode 64-bit code with port I/O. It leaves ring 0 by sysexit on Intel's
 * processors, because emulated KVM hosts do not interpret lret or iret to an outer ring; on AMD's, which have no sysexit
 * in long mode, by iret. Then it never enters ring 0 again: no interrupts, no system calls. See the multiboot specification
 * 0.6.96 and Intel SDM volume 2, SYSEXIT.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MSR_SYSENTER_CS 0x174
#define MSR_EFER 0xc0000080
#define CODE64 0x08 /* sysexit's code segment is this + 0x20, its stack segment + 0x28 */
#define DATA 0x10
#define PRESENT_WRITABLE_USER 7
#define LARGE 0x80
#define FLAGS 0x3002 /* IOPL 3, interrupts off */
#define GENUINE_INTEL 0x756e6547 /* "Genu" */

    .section .multiboot, "a"
    .align 4
    .long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

    .text
    .code32
    .globl _start
_start:
    cli
    movl %ebx, %ebp                 /* multiboot information, for main */

    /* The first 4 GiB one to one, in 2 MiB pages that user mode may write. */
    movl $(pdpt + PRESENT_WRITABLE_USER), pml4
    movl $(directories + PRESENT_WRITABLE_USER), %eax
    movl $pdpt, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 1b
    movl $(LARGE + PRESENT_WRITABLE_USER), %eax
    movl $directories, %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b

    movl $0x20, %eax                /* CR4.PAE */
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    xorl %edx, %edx
    movl $0x100, %eax               /* LME */
    wrmsr
    movl $0x80000011, %eax          /* PG, ET, PE */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $CODE64, $long_mode

    .code64
long_mode:
    movl $DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $stack_top, %esp
    xorl %eax, %eax
    cpuid
    cmpl $GENUINE_INTEL, %ebx
    jne leave_by_iret

    pushq $FLAGS
    popfq
    movl $MSR_SYSENTER_CS, %ecx
    xorl %edx, %edx
    movl $CODE64, %eax
    wrmsr
    movl $user, %edx
    movl $stack_top, %ecx
    sysexitq

leave_by_iret:
    pushq $(CODE64 + 0x28 + 3)
    pushq $stack_top
    pushq $FLAGS
    pushq $(CODE64 + 0x20 + 3)
    pushq $user
    iretq

user:
    movl %ebp, %edi
    call guest_main
3:  pause
    jmp 3b

    .section .rodata
    .align 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff        /* 0x08 ring 0 code, 64-bit */
    .quad 0x00cf93000000ffff        /* 0x10 ring 0 data */
    .quad 0
    .quad 0
    .quad 0x00affb000000ffff        /* 0x28 ring 3 code, 64-bit */
    .quad 0x00cff3000000ffff        /* 0x30 ring 3 data */
gdt_pointer:
    .word . - gdt - 1
    .long gdt

    .bss
    .align 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
directories:
    .skip 4 * 4096
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits

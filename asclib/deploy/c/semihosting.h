/* The emulated chip's way to the host's files, and its count of instructions.

   With `-icount shift=0` QEMU's clock goes on by a nanosecond an instruction; SysTick, at 25 MHz on
   mps2-an386, by one every 40. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

enum { OPEN = 1, CLOSE = 2, WRITE = 5, READ = 6, EXIT = 0x18 };
enum { PER_TICK = 40 };

extern uint32_t stack_bottom[], stack_top[];

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;
static const uint32_t unused = 0xA5A5A5A5u;

static intptr_t host(intptr_t operation, const void *arguments)
{
    register intptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static intptr_t open_file(const char *name, intptr_t length, intptr_t mode)
{
    const intptr_t block[] = {(intptr_t)name, mode, length};
    return host(OPEN, block);
}

/* How many bytes were not read or written. */
static intptr_t transfer(intptr_t operation, intptr_t file, void *bytes, intptr_t n)
{
    const intptr_t block[] = {file, (intptr_t)bytes, n};
    return host(operation, block);
}

static void start_ticks(void)
{
    systick[0] = 0, systick[1] = 0xFFFFFF, systick[2] = 0, systick[0] = 5;
}

static uint32_t ticks(void)
{
    return 0u - systick[2];
}

/* Instructions between two readings of a counter of 24 bits. */
static uint32_t between(uint32_t start, uint32_t end)
{
    return ((end - start) & 0xFFFFFFu) * PER_TICK;
}

static void write_number(intptr_t file, uint32_t number)
{
    char text[11];
    int at = sizeof text;
    text[--at] = '\n';
    do text[--at] = (char)('0' + number % 10);
    while (number /= 10);
    transfer(WRITE, file, text + at, (intptr_t)sizeof text - at);
}

/* Marks the stack below the caller, so that `stack_used` can tell how deep it went. */
#define MARK_STACK()                                                                    \
    for (uint32_t *p = stack_bottom;                                                    \
         (uintptr_t)p < (uintptr_t)__builtin_frame_address(0) - 256; p++)               \
        *p = unused

static uint32_t stack_used(void)
{
    const uint32_t *deepest = stack_bottom;
    while (*deepest == unused) deepest++;
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)deepest);
}

static void end(void)
{
    host(EXIT, (const void *)0x20026); /* the application has ended */
}

#endif

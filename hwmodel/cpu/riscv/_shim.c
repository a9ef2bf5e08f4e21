/* The fast half of an engine: registers in, run, registers out; instructions counted, and code checked, by blocks;
 * misses of the emulator's TLB served.
 *
 * The emulator calls `enter_block` before each block of translated code. What a block looked like when it was
 * translated is kept: how many instructions it has, and its bytes. So counting costs a look-up a block instead of a call
 * an instruction; a block that would go beyond the limit is not begun; and a block whose bytes have changed since,
 * which the emulator cannot notice when others than itself write to memory, is not begun either but reported, nor one
 * with instructions that the emulator would wrongly pass over. Each
 * block is compared once a run, when it is first met.
 *
 * The emulator's TLB is filled from the Sv39 tables in RAM by `fill_tlb`, in place of the emulator's own walk: not only
 * because that is slower. A page that may be written and executed, as all pages of seL4's user programs, is entered for
 * one or the other; the emulator takes every store to a page that it could execute the long way. So it is known, too,
 * when code may have been written within a run.
 *
 * Nothing of the emulator is linked: the addresses of its functions are handed over by `engine.py`.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Word numbers in the emulator's CPU state, and results of its runs, as in emulator.py. */
enum { PC = 64, PRIVILEGE = 74, MSTATUS = 78 };
enum { OK = 0, FIRST_STOP = 6, LAST_STOP = 10, EXCEPTION = 21, BEHIND = 4 };
#define MSTATUS_FS ((uint64_t)3 << 13)

/* How `run` ends, as in engine.py; negative: the emulator's error. */
enum { DONE = 0, TRAPPED = 1, ECALL = 2, STALE = 3, REFUSED = 4 };

/* The emulator's own numbers. */
enum { HOOK_BLOCK = 1 << 3, HOOK_TLB_FILL = 1 << 17 };
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXECUTE = 4, MEM_READ = 16, MEM_WRITE = 17, MEM_FETCH = 18 };

/* Bits of a page table entry. */
enum { PTE_V = 1, PTE_R = 2, PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_A = 64, PTE_D = 128 };

/* Instructions that the emulator would pass over: always; while the FPU is off. As in engine.py. */
enum { RESERVED = 1, FLOATING = 2 };

enum { NEXT_PC = 33, REGISTERS = 32, LIST_LENGTH = 34 };
enum { PAGE = 4096, LONGEST = PAGE, MET_SIZE = 1 << 12, FIRST_SIZE = 1 << 10, PAGES_SIZE = 1 << 8 };
enum { NO_MEMORY = 1000, UNREADABLE = 1001, UNEXPECTED = 1002 };

#if defined(__GNUC__)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define APART __attribute__((noinline))
#else
#define UNLIKELY(condition) (condition)
#define APART
#endif

typedef int (*start_fn)(void *, uint64_t, uint64_t, uint64_t, size_t);
typedef int (*stop_fn)(void *);
typedef int (*hook_add_fn)(void *, size_t *, int, void *, void *, uint64_t, uint64_t, ...);
typedef int (*read_fn)(void *, uint64_t, int, void *, size_t);

typedef struct {
    uint64_t paddr;
    int perms;
} TlbEntry;

typedef struct Block {
    struct Block *next;     /* in the same bucket */
    uint64_t start, paddr;  /* virtual and physical address */
    uint32_t size, count;   /* bytes, instructions */
    uint8_t ends_in_ecall, ends_in_fence_i;
    uint8_t oddities;       /* of its instructions: bits of what the emulator would pass over */
    uint16_t code[];
} Block;

/* What `enter_block` needs of a block that it met, by the block's address: one line of the host's cache. */
typedef struct {
    uint64_t start;
    uint64_t checked;       /* the epoch in which its bytes were compared last */
    uint32_t size, count;
    Block *block;
} Met;

typedef struct {
    uint64_t vpage, paddr, epoch;
} Translation;

typedef struct {
    PyObject_HEAD
    void *engine;
    uint64_t *state;
    start_fn start;
    stop_fn stop;
    read_fn read;
    uint8_t *ram;           /* where the host has the machine's RAM */
    uint64_t ram_base, ram_size, root;
    uint8_t *written;       /* a bit for each page of RAM that the engine was ever let write to */
    uint64_t epoch;         /* counts runs, and times within one when code may have been written */
    int64_t left, executed; /* instructions: that may still be done, that were done in the last run */
    Met *current;           /* the block that was begun last */
    uint64_t stale;         /* the physical address of the block that was found changed */
    int is_stale, is_refused, out_of_time, missed, error;
    uint8_t refused;        /* the oddities that are not begun */
    PyObject *oddities;     /* those of each 16-bit instruction */
    Block **buckets;
    size_t bucket_count, block_count;
    Translation pages[PAGES_SIZE];
    Met met[MET_SIZE];
} Runner;

static unsigned parcels(uint16_t parcel) { return (parcel & 3) == 3 ? 2 : 1; }

/* Where the host has physical memory, or NULL if that is not RAM. */
static const uint8_t *host(Runner *self, uint64_t paddr, uint64_t size)
{
    uint64_t offset = paddr - self->ram_base;
    return offset < self->ram_size && size <= self->ram_size - offset ? self->ram + offset : NULL;
}

/* The leaf entry for a virtual address by the Sv39 tables in RAM, and the physical address; 0 if there is none. */
static uint64_t walk(Runner *self, uint64_t vaddr, uint64_t *paddr)
{
    uint64_t table = self->root, entry;
    if ((uint64_t)((int64_t)(vaddr << 25) >> 25) != vaddr) return 0;
    for (int shift = 30; shift >= 12; shift -= 9) {
        const uint8_t *at = host(self, table + (vaddr >> shift & 511) * 8, 8);
        if (at == NULL) return 0;
        memcpy(&entry, at, 8);
        if (!(entry & PTE_V)) return 0;
        table = entry >> 10 << 12 & 0xffffffffffffff;
        if (entry & (PTE_R | PTE_W | PTE_X)) {
            uint64_t inside = ((uint64_t)1 << shift) - 1;
            if (table & inside || !(entry & PTE_U) || !(entry & PTE_A)) return 0;
            *paddr = table | (vaddr & inside);
            return entry;
        }
    }
    return 0;
}

/* The emulator asks for the translation of a page. A false answer ends the run at the instruction that needs it. */
static bool fill_tlb(void *engine, uint64_t vaddr, int type, TlbEntry *result, void *data)
{
    Runner *self = data;
    if (self->state[PRIVILEGE]) {
        /* `forget_code` speaks of physical addresses. */
        result->paddr = vaddr;
        result->perms = PROT_READ | PROT_EXECUTE;
        return true;
    }
    uint64_t entry = walk(self, vaddr, &result->paddr);
    int may_read = entry & PTE_R, may_write = entry & PTE_W && entry & PTE_D, may_execute = entry & PTE_X;
    int allowed = type == MEM_FETCH ? may_execute : type == MEM_WRITE ? may_write : may_read;
    self->missed = !allowed || host(self, result->paddr, PAGE) == NULL;
    if (self->missed) return false;
    uint64_t page = (result->paddr - self->ram_base) / PAGE;
    uint8_t *written = &self->written[page / 8], bit = (uint8_t)(1 << page % 8);
    result->perms = may_read ? PROT_READ : 0;
    if (type == MEM_FETCH) {
        result->perms |= PROT_EXECUTE;
        self->epoch += (*written & bit) != 0;
    } else if (type == MEM_WRITE) {
        result->perms |= PROT_WRITE;
        *written |= bit;
    }
    return true;
}

/* The same, remembered for the rest of the epoch. */
static uint64_t translate(Runner *self, uint64_t vaddr)
{
    Translation *known = &self->pages[vaddr >> 12 & (PAGES_SIZE - 1)];
    if (known->vpage != vaddr >> 12 || known->epoch != self->epoch) {
        known->vpage = vaddr >> 12;
        known->epoch = self->epoch;
        known->paddr = 0;
        walk(self, vaddr & ~(uint64_t)(PAGE - 1), &known->paddr);
    }
    return known->paddr ? known->paddr | (vaddr & (PAGE - 1)) : 0;
}

/* The bytes of a block as they are now; a block may reach into a second page. Returns 0 if they can be read. Where the
 * tables in RAM do not say where they are, the emulator may still know: from a translation that was not flushed. */
static int read_code(Runner *self, uint64_t start, uint64_t paddr, uint32_t size, void *code)
{
    uint32_t room = PAGE - (start & (PAGE - 1)), first = size < room ? size : room, second = size - first;
    const uint8_t *low = paddr ? host(self, paddr, first) : NULL, *high = low;
    if (second) {
        uint64_t beyond = translate(self, start + first);
        high = beyond ? host(self, beyond, second) : NULL;
    }
    if (low == NULL || high == NULL) return self->read(self->engine, start, PROT_EXECUTE, code, size);
    memcpy(code, low, first);
    memcpy((uint8_t *)code + first, high, second);
    return 0;
}

static int is_unchanged(Runner *self, Block *block)
{
    uint16_t now[LONGEST / 2];
    const uint8_t *at = host(self, block->paddr, block->size);
    if (at && (block->start & (PAGE - 1)) + block->size <= PAGE) return memcmp(at, block->code, block->size) == 0;
    return read_code(self, block->start, block->paddr, block->size, now) == 0
        && memcmp(now, block->code, block->size) == 0;
}

/* The table of blocks */

static void forget_met(Runner *self)
{
    memset(self->met, 0, sizeof self->met);
    self->current = NULL;
}

static size_t bucket_of(Runner *self, uint64_t start, uint64_t paddr)
{
    return (size_t)((start >> 1) * 0x9e3779b97f4a7c15u ^ paddr >> 12) & (self->bucket_count - 1);
}

static void forget_blocks(Runner *self)
{
    for (size_t n = 0; n < self->bucket_count; n++)
        while (self->buckets[n]) {
            Block *block = self->buckets[n];
            self->buckets[n] = block->next;
            PyMem_Free(block);
        }
    self->block_count = 0;
    forget_met(self);
}

static int grow(Runner *self)
{
    size_t old_count = self->bucket_count, count = old_count ? 2 * old_count : FIRST_SIZE;
    Block **old = self->buckets, **buckets = PyMem_Calloc(count, sizeof *buckets);
    if (buckets == NULL) return -1;
    self->buckets = buckets;
    self->bucket_count = count;
    for (size_t n = 0; n < old_count; n++)
        for (Block *block = old[n], *next; block; block = next) {
            size_t at = bucket_of(self, block->start, block->paddr);
            next = block->next;
            block->next = buckets[at];
            buckets[at] = block;
        }
    PyMem_Free(old);
    return 0;
}

static Block *find(Runner *self, uint64_t start, uint64_t paddr, uint32_t size)
{
    Block *block = self->buckets[bucket_of(self, start, paddr)];
    while (block && (block->start != start || block->paddr != paddr || block->size != size)) block = block->next;
    return block;
}

/* A block that is met for the first time. NULL, with `error` set, if that fails. */
static Block *add(Runner *self, uint64_t start, uint64_t paddr, uint32_t size)
{
    self->error = NO_MEMORY;
    if (self->block_count >= self->bucket_count && grow(self)) return NULL;
    Block *block = PyMem_Calloc(1, sizeof *block + size + 2);
    if (block == NULL) return NULL;
    self->error = UNREADABLE;
    if (read_code(self, start, paddr, size, block->code)) {
        PyMem_Free(block);
        return NULL;
    }
    self->error = 0;
    block->start = start;
    block->paddr = paddr;
    block->size = size;
    uint32_t last = 0;
    const char *oddities = PyBytes_AS_STRING(self->oddities);
    for (uint32_t at = 0; at < size / 2; at += parcels(block->code[at])) {
        block->count++;
        block->oddities |= (uint8_t)oddities[block->code[at]];
        last = at;
    }
    uint32_t word = block->code[last] | (uint32_t)block->code[last + 1] << 16;
    block->ends_in_ecall = word == 0x73;
    block->ends_in_fence_i = (word & 0x707f) == 0x100f;
    size_t at = bucket_of(self, start, paddr);
    block->next = self->buckets[at];
    self->buckets[at] = block;
    self->block_count++;
    return block;
}

/* Meeting a block for the first time in this epoch. False if it must not be begun. */
static APART bool meet(Runner *self, Met *met, uint64_t start, uint32_t size)
{
    if (size == 0 || size > LONGEST) {
        /* Without bytes: its first instruction is illegal. */
        self->is_refused = size == 0;
        self->error = size == 0 ? 0 : UNEXPECTED;
        return false;
    }
    uint64_t paddr = translate(self, start);
    bool is_known = met->block && met->start == start && met->size == size && met->block->paddr == paddr;
    Block *block = is_known ? met->block : find(self, start, paddr, size);
    if (block == NULL) {
        block = add(self, start, paddr, size);
        if (block == NULL) return false;
    } else if (!is_unchanged(self, block)) {
        self->stale = block->paddr;
        self->is_stale = 1;
        return false;
    }
    if (block->oddities & self->refused) {
        self->is_refused = 1;
        return false;
    }
    /* Behind a `fence.i` code may have been written anew, and the block that ends in one is met each time. */
    self->epoch += block->ends_in_fence_i;
    met->start = start;
    met->checked = block->ends_in_fence_i ? 0 : self->epoch;
    met->size = size;
    met->count = block->count;
    met->block = block;
    return true;
}

static void enter_block(void *engine, uint64_t start, uint32_t size, void *data)
{
    Runner *self = data;
    Met *met = &self->met[start >> 1 & (MET_SIZE - 1)];
    if (UNLIKELY(met->start != start || met->checked != self->epoch || met->size != size)
        && !meet(self, met, start, size)) {
        self->stop(engine);
        return;
    }
    if (UNLIKELY(met->count > self->left)) {
        self->out_of_time = 1;
        self->stop(engine);
        return;
    }
    self->left -= met->count;
    self->current = met;
}

/* Running */

/* How many instructions of the current block were not completed, when the one at `pc` trapped. */
static int64_t not_completed(Runner *self, uint64_t pc)
{
    Block *block = self->current ? self->current->block : NULL;
    if (block == NULL || pc < block->start || pc >= block->start + block->size) return 0;
    int64_t completed = 0;
    for (uint32_t at = 0; at < (pc - block->start) / 2; at += parcels(block->code[at])) completed++;
    return block->count - completed;
}

static int load_registers(Runner *self, PyObject *x)
{
    for (int n = 1; n < REGISTERS; n++) {
        uint64_t value = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(x, n));
        if (value == (uint64_t)-1 && PyErr_Occurred()) return -1;
        self->state[n] = value;
    }
    return 0;
}

static int store_register(PyObject *x, int n, uint64_t value)
{
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    return number == NULL ? -1 : PyList_SetItem(x, n, number);
}

static int outcome_of(Runner *self, int error, uint64_t *pc)
{
    if (self->error) return -self->error;
    if (self->is_stale) return STALE;
    if (self->is_refused) return REFUSED;
    if (error == OK) return self->out_of_time ? DONE : -UNEXPECTED;
    if (error >= FIRST_STOP && error <= LAST_STOP) return TRAPPED;
    if (error != EXCEPTION) return -error;
    if (self->missed) return TRAPPED;
    *pc -= BEHIND;
    Block *block = self->current ? self->current->block : NULL;
    return block && block->ends_in_ecall && *pc == block->start + block->size - 4 ? ECALL : TRAPPED;
}

/* run(x, limit, fpu) */
static PyObject *Runner_run(Runner *self, PyObject *const *args, Py_ssize_t count)
{
    uint64_t before[REGISTERS];
    if (count != 3 || !PyList_Check(args[0]) || PyList_GET_SIZE(args[0]) != LIST_LENGTH)
        return PyErr_Format(PyExc_TypeError, "run(x, limit, fpu): x is a list of %d words", LIST_LENGTH);
    if (self->engine == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the runner has no engine");
        return NULL;
    }
    PyObject *x = args[0];
    int64_t limit = PyLong_AsLongLong(args[1]);
    uint64_t pc = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(x, NEXT_PC));
    if (PyErr_Occurred() || load_registers(self, x)) return NULL;
    memcpy(before, self->state, sizeof before);
    if (args[2] == Py_True) self->state[MSTATUS] |= MSTATUS_FS;
    else self->state[MSTATUS] &= ~MSTATUS_FS;
    self->left = limit;
    self->current = NULL;
    self->is_stale = self->is_refused = self->out_of_time = self->missed = self->error = 0;
    self->refused = args[2] == Py_True ? RESERVED : RESERVED | FLOATING;
    self->epoch++;

    int error = self->start(self->engine, pc, 0, 0, 0);

    pc = self->state[PC];
    int outcome = outcome_of(self, error, &pc);
    if (outcome == TRAPPED || outcome == ECALL) self->left += not_completed(self, pc);
    self->executed = limit - self->left;
    for (int n = 1; n < REGISTERS; n++)
        if (self->state[n] != before[n] && store_register(x, n, self->state[n])) return NULL;
    if (store_register(x, NEXT_PC, pc)) return NULL;
    return PyLong_FromLong(outcome);
}

/* enter(root): the page table that blocks are found by. */
static PyObject *Runner_enter(Runner *self, PyObject *root)
{
    self->root = PyLong_AsUnsignedLongLong(root);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* forget(paddr, size): the emulator will translate this code anew. */
static PyObject *Runner_forget(Runner *self, PyObject *args)
{
    unsigned long long paddr, size;
    if (!PyArg_ParseTuple(args, "KK", &paddr, &size)) return NULL;
    for (size_t n = 0; n < self->bucket_count; n++)
        for (Block **at = &self->buckets[n]; *at;) {
            Block *block = *at;
            if (block->paddr < paddr + size && paddr < block->paddr + block->size) {
                *at = block->next;
                self->block_count--;
                PyMem_Free(block);
            } else at = &block->next;
        }
    forget_met(self);
    Py_RETURN_NONE;
}

static int Runner_init(Runner *self, PyObject *args, PyObject *names)
{
    unsigned long long engine, state, start, stop, hook_add, read, ram, base, size;
    size_t hook;
    PyObject *oddities;
    if (!PyArg_ParseTuple(args, "KK(KKKK)SKKK", &engine, &state, &start, &stop, &hook_add, &read, &oddities, &ram, &base,
                          &size))
        return -1;
    if (PyBytes_GET_SIZE(oddities) != 1 << 16) {
        PyErr_SetString(PyExc_ValueError, "there are 65536 instructions of 16 bits");
        return -1;
    }
    if (self->engine) {
        PyErr_SetString(PyExc_RuntimeError, "a runner serves one engine");
        return -1;
    }
    self->written = PyMem_Calloc(size / PAGE / 8 + 1, 1);
    if (self->written == NULL || grow(self)) {
        PyErr_NoMemory();
        return -1;
    }
    forget_met(self);
    self->engine = (void *)(uintptr_t)engine;
    self->state = (uint64_t *)(uintptr_t)state;
    self->start = (start_fn)(uintptr_t)start;
    self->stop = (stop_fn)(uintptr_t)stop;
    self->read = (read_fn)(uintptr_t)read;
    Py_INCREF(oddities);
    self->oddities = oddities;
    self->ram = (uint8_t *)(uintptr_t)ram;
    self->ram_base = base;
    self->ram_size = size;
    hook_add_fn add_hook = (hook_add_fn)(uintptr_t)hook_add;
    int error = add_hook(self->engine, &hook, HOOK_BLOCK, (void *)enter_block, self, 1, 0);
    if (!error) error = add_hook(self->engine, &hook, HOOK_TLB_FILL, (void *)fill_tlb, self, 1, 0);
    if (error) {
        PyErr_Format(PyExc_RuntimeError, "the emulator refuses a hook: error %d", error);
        return -1;
    }
    return 0;
}

static void Runner_dealloc(Runner *self)
{
    forget_blocks(self);
    PyMem_Free(self->buckets);
    PyMem_Free(self->written);
    Py_XDECREF(self->oddities);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *Runner_executed(Runner *self, void *closure) { return PyLong_FromLongLong(self->executed); }
static PyObject *Runner_stale(Runner *self, void *closure) { return PyLong_FromUnsignedLongLong(self->stale); }

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))Runner_run, METH_FASTCALL, "Run a thread's registers."},
    {"enter", (PyCFunction)Runner_enter, METH_O, "Find code by the page table at this physical address."},
    {"forget", (PyCFunction)Runner_forget, METH_VARARGS, "Forget the blocks in a physical range."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"executed", (getter)Runner_executed, NULL, "Instructions that the last run completed.", NULL},
    {"stale", (getter)Runner_stale, NULL, "Physical address of the block that stopped the last run.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject Runner_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hwmodel.cpu.riscv._shim.Runner",
    .tp_basicsize = sizeof(Runner),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "One engine's runs, compiled.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)Runner_init,
    .tp_dealloc = (destructor)Runner_dealloc,
    .tp_methods = methods,
    .tp_getset = properties,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_shim", .m_size = -1};

PyMODINIT_FUNC PyInit__shim(void)
{
    if (PyType_Ready(&Runner_type) < 0) return NULL;
    PyObject *created = PyModule_Create(&module);
    if (created == NULL || PyModule_AddObjectRef(created, "Runner", (PyObject *)&Runner_type) < 0) {
        Py_XDECREF(created);
        return NULL;
    }
    return created;
}

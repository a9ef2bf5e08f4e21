/* The IPC and donation protocol of seL4 (MCS, one core): threads, endpoints, notifications, reply objects, scheduling
 * contexts, and the scheduler as far as it decides who acts next. Written from the manual (chapters 4 to 6) and from
 * what the real kernel does; no line of it looks at ours.
 *
 * One process is the kernel. Each turn chooses, freely, one of the running thread's actions or something that the
 * environment does, and carries it out as a whole. Which actions there are, and the state at the start, stands in a
 * file (`configuration.h` reads it); the model is the same for all configurations. Time passes in units: a budget is
 * one unit, a period `period[s]` units, and 1 means round robin.
 *
 * References are numbers from 1; 0 is nobody. Every variable that is not hidden is part of the state and of what is
 * compared (`RECORD`); the order in `configuration.h` is that of `specs/explore/projection.py`. */

#define THREADS 3

/* What a thread does. */
#define INACTIVE 0
#define RUNNING 1
#define RESTART 2
#define SENDING 3
#define RECEIVING 4
#define WAITING 5
#define AWAITING_REPLY 6

/* Faults. */
#define CAP_FAULT 1
#define UNKNOWN_SYSCALL 2
#define TIMEOUT 3

/* Where a thread is queued by the scheduler. */
#define READY_QUEUE 1
#define RELEASE_QUEUE 2

/* Endpoints and notifications. */
#define EP_IDLE 0
#define EP_SEND 1
#define EP_RECEIVE 2
#define N_IDLE 0
#define N_WAITING 1
#define N_ACTIVE 2

/* What the scheduler is to do when the kernel is left. */
#define RESUME_CURRENT 0
#define CHOOSE_NEW 1
#define SWITCH_TO 2

/* The slots that hold caps, and how many of each kind there are. */
#define EP0 0
#define EP0_BADGED 1
#define EP1 2
#define EP1_BADGED 3
#define N0 4
#define N0_BADGE1 5
#define N0_BADGE2 6
#define N1 7
#define R0 8
#define T0 11
#define S0 14
#define SLOTS 17
#define NO_SLOT 99
#define OVERWRITTEN 99  /* a pending action whose registers are no longer what they were */
#define NO_CAP 0
#define CAP 1
#define ZOMBIE 10       /* and how many slots are left */

/* Verbs: as in specs/proofs/spin/encode.py. */
#define V_SEND 1
#define V_NBSEND 2
#define V_CALL 3
#define V_RECV 4
#define V_NBRECV 5
#define V_REPLY_RECV 6
#define V_NBSEND_RECV 7
#define V_NBSEND_WAIT 8
#define V_WAIT 9
#define V_POLL 10
#define V_YIELD 11
#define V_FAULT 12
#define V_SUSPEND 13
#define V_RESUME 14
#define V_SET_PRIORITY 15
#define V_BIND_NOTIFICATION 16
#define V_UNBIND_NOTIFICATION 17
#define V_BIND 18
#define V_UNBIND 19
#define V_UNBIND_OBJECT 20
#define V_YIELD_TO 21
#define V_CANCEL_BADGED 22
#define V_DELETE 23
#define V_REVOKE 24
#define V_ACK 25

/* Of each thread. */
byte st[3], on[3], with[3], badge[3], calls[3], flt[3], prio[3], sc[3], yto[3], bn[3], pend[3], inq[3];
byte fh[3], th[3];      /* endpoints (from 1) of fault and timeout handler */
byte q[18];             /* queues of threads, three places each; see READY and the others below */
byte est[2], ns[2], nb[2], nbt[2], nsc[2];
/* Reply objects: next is 1..3 a reply object, 4..6 a context. */
byte rt[3], rprev[3], rnext[3];
/* Scheduling contexts; swait: units until the refill can be used. */
byte stcb[3], srep[3], sn[3], syf[3], swait[3], sact[3];
byte caps[17];
byte irq_cap, claimed, cur;

/* Constants of the configuration. */
hidden byte period[3];
hidden byte acts[3], verb[48], arg1[48], arg2[48], arg3[48];
hidden byte may_end, may_interrupt, may_preempt;

/* The queues in q: who is ready (by priority), who waits for time, who waits at each endpoint and notification. */
#define READYQ 0
#define RELEASEQ 3
#define EPQ(e) (6 + 3 * (e))
#define NQ(n) (12 + 3 * (n))
#define HEAD(b) q[b]

/* Within one kernel entry. */
/* What decides where this goes on is not hidden: Spin comes back to it to try the other ways. It is 0 at rest. */
byte choice, pick, interrupted, preempted, v, a1, half, faulty, turn, irq_now, to_slot, from_slot;
hidden byte action, cand, me, a2, a3;
hidden byte is_blocking, is_call, may_donate, from_reply, with_reply, waits;
hidden byte fault_kind, turn_units, turn_faults, gone[2], gone_n;
/* Scratch of one inline each. */
hidden byte qb, qt, aw, sg, cr, cx, po_t, rr_n, rr_p, rr_s, ru_n, ru_p, si_d, si_r, si_s, rp_s, rp_o, ri_s, ri_n;
hidden byte rc, sd, md_s, mr_s, dr_t, dr_s, dr_f, dr_p, rs_s, sp_e, ca_t, cb_t, cb_n, cs_t, fr_t, ft_s, fs_t, fs_n;
hidden byte ub_t, ub_h, yt_t, yc, in_e, in_b, lf, lk, dc_s, dt_t, rv_t, be_s, tp_d, tp_i, was, df_t;

#define RUNNABLE(t) (st[t] == RUNNING || st[t] == RESTART)
#define SCHEDULABLE(t) (RUNNABLE(t) && sc[t] != 0 && sact[sc[t] - 1] != 0 && inq[t] != RELEASE_QUEUE)
#define READY(s) (swait[s] == 0)


c_decl {
\#include "embedded.h"
}
c_code {
\#include "embedded.c"
}

/* --- Queues ---------------------------------------------------------------------------------------------------- */

/* A queue is a short list; taking one out and putting one in are as in any (embedded.c). */
inline q_remove(b, t) { qb = b; qt = t; c_code { queue_remove(); } }

/* Behind all of at least its priority: queues of objects, and the ready queue at the tail of one's equals. */
inline q_by_priority(b, t) { qb = b; qt = t; c_code { queue_by_priority(); } }

/* In front of its equals: the ready queue only. */
inline q_before_equals(b, t) { qb = b; qt = t; c_code { queue_before_equals(); } }

/* Behind all whose refill comes no later: the release queue only. */
inline q_by_time(b, t) { qb = b; qt = t; c_code { queue_by_time(); } }

/* --- The scheduler --------------------------------------------------------------------------------------------- */

/* In front of its equals. */
inline enqueue(t) {
  if
  :: inq[t] != READY_QUEUE -> q_before_equals(READYQ, t); inq[t] = READY_QUEUE
  :: else
  fi
}

/* Behind its equals. */
inline append(t) {
  if
  :: inq[t] != READY_QUEUE -> q_by_priority(READYQ, t); inq[t] = READY_QUEUE
  :: else
  fi
}

inline dequeue(t) {
  if
  :: inq[t] == READY_QUEUE -> q_remove(READYQ, t); inq[t] = 0
  :: else
  fi
}

inline release_remove(t) {
  if
  :: inq[t] == RELEASE_QUEUE -> q_remove(RELEASEQ, t); inq[t] = 0
  :: else
  fi
}

inline leave_queues(t) { dequeue(t); release_remove(t) }

inline reschedule_required() {
  if
  :: action == SWITCH_TO && cand != 0 ->
     if
     :: SCHEDULABLE(cand - 1) -> enqueue(cand - 1)
     :: else
     fi
  :: else
  fi;
  action = CHOOSE_NEW;
  cand = 0
}

inline possible_switch_to(t) {
  if
  :: sc[t] == 0 || inq[t] == RELEASE_QUEUE
  :: else ->
     if
     :: action != RESUME_CURRENT -> reschedule_required(); enqueue(t)
     :: else -> action = SWITCH_TO; cand = (t) + 1
     fi
  fi
}

/* The state of a thread changes; what it waited for is forgotten. */
inline set_state(t, s) {
  st[t] = s; on[t] = 0; with[t] = 0; badge[t] = 0; calls[t] = 0;
  if
  :: cur == (t) + 1 && action == RESUME_CURRENT && !SCHEDULABLE(t) -> action = CHOOSE_NEW
  :: else
  fi
}

/* A thread waits for its next refill, behind all whose refill comes no later. */
inline postpone(s) {
  po_t = stcb[s] - 1;
  dequeue(po_t);
  if
  :: inq[po_t] != RELEASE_QUEUE -> q_by_time(RELEASEQ, po_t); inq[po_t] = RELEASE_QUEUE
  :: else
  fi
}

inline sc_resume(s) {
  if
  :: stcb[s] != 0 ->
     if
     :: SCHEDULABLE(stcb[s] - 1) && !READY(s) -> postpone(s)
     :: else
     fi
  :: else
  fi
}

inline choose_new_thread() {
  if
  :: HEAD(READYQ) != 0 -> cur = HEAD(READYQ); dequeue(cur - 1)
  :: else -> cur = 0
  fi
}

inline complete_yield_to(y) {
  yc = y;
  if
  :: yc != 0 ->
     if
     :: yto[yc - 1] != 0 -> syf[yto[yc - 1] - 1] = 0; yto[yc - 1] = 0
     :: else
     fi
  :: else
  fi
}

inline schedule() {
  do
  :: HEAD(RELEASEQ) != 0 && swait[sc[HEAD(RELEASEQ) - 1] - 1] == 0 ->
     aw = HEAD(RELEASEQ) - 1; release_remove(aw); possible_switch_to(aw)
  :: else -> break
  od;
  if
  :: action != RESUME_CURRENT ->
     was = 0;
     if
     :: cur != 0 ->
        if
        :: SCHEDULABLE(cur - 1) -> was = 1; enqueue(cur - 1)
        :: else
        fi
     :: else
     fi;
     if
     :: action == CHOOSE_NEW -> choose_new_thread()
     :: else ->
        if
        :: (cur == 0 || prio[cand - 1] < prio[cur - 1]) &&
           HEAD(READYQ) != 0 && prio[HEAD(READYQ) - 1] > prio[cand - 1] ->
           enqueue(cand - 1); choose_new_thread()
        :: else ->
           if
           :: was && prio[cand - 1] == prio[cur - 1] -> append(cand - 1); choose_new_thread()
           :: else -> cur = cand; dequeue(cur - 1)
           fi
        fi
     fi
  :: else
  fi;
  action = RESUME_CURRENT;
  cand = 0;
  /* Activate: a yield to another context is over, a thread that is to restart does. */
  if
  :: cur != 0 ->
     complete_yield_to(cur);
     if
     :: st[cur - 1] == RESTART -> st[cur - 1] = RUNNING
     :: else
     fi
  :: else
  fi
}

/* --- Scheduling contexts --------------------------------------------------------------------------------------- */

inline donate(s, t) {
  sg = stcb[s];
  if
  :: sg != 0 ->
     leave_queues(sg - 1);
     sc[sg - 1] = 0;
     if
     :: sg == cur || (action == SWITCH_TO && sg == cand) -> reschedule_required()
     :: else
     fi
  :: else
  fi;
  stcb[s] = (t) + 1;
  sc[t] = (s) + 1
}

inline unbind_tcb(s) {
  ub_t = stcb[s];
  if
  :: ub_t != 0 ->
     if
     :: ub_t == cur -> reschedule_required()
     :: else
     fi;
     leave_queues(ub_t - 1);
     sc[ub_t - 1] = 0;
     stcb[s] = 0
  :: else
  fi
}

inline unbind_sc_notification(s) {
  if
  :: sn[s] != 0 -> nsc[sn[s] - 1] = 0; sn[s] = 0
  :: else
  fi
}

inline unbind_all(s) {
  unbind_tcb(s);
  unbind_sc_notification(s);
  ub_h = srep[s];
  if
  :: ub_h != 0 -> rnext[ub_h - 1] = 0; srep[s] = 0
  :: else
  fi
}

/* A notification's context goes to a woken thread that has none; and back when that waits again. */
inline maybe_donate(n, t) {
  md_s = nsc[n];
  if
  :: sc[t] == 0 && md_s != 0 ->
     if
     :: stcb[md_s - 1] == 0 -> donate(md_s - 1, t); sc_resume(md_s - 1)
     :: else
     fi
  :: else
  fi
}

inline maybe_return(n, t) {
  mr_s = nsc[n];
  if
  :: mr_s != 0 && mr_s == sc[t] ->
     sc[t] = 0;
     stcb[mr_s - 1] = 0;
     if
     :: cur == (t) + 1 -> reschedule_required()
     :: else
     fi
  :: else
  fi
}

/* --- Reply objects --------------------------------------------------------------------------------------------- */

/* Caller c waits on r; its context goes to d, if that has none and it may. */
inline reply_push(c, d, r, may_donate) {
  rp_s = sc[c];
  rt[r] = (c) + 1;
  set_state(c, AWAITING_REPLY);
  on[c] = (r) + 1;
  if
  :: rp_s != 0 && sc[d] == 0 && (may_donate) ->
     rp_o = srep[rp_s - 1];
     if
     :: rp_o != 0 -> rnext[rp_o - 1] = (r) + 1
     :: else
     fi;
     rprev[r] = rp_o;
     srep[rp_s - 1] = (r) + 1;
     rnext[r] = 3 + rp_s;
     donate(rp_s - 1, d)
  :: else
  fi
}

/* The call on r by t is answered, or its reply object goes: a donated context returns from the top of its stack. */
inline reply_remove(r, t) {
  rr_n = rnext[r];
  rr_p = rprev[r];
  if
  :: rr_n > 3 ->
     rr_s = rr_n - 4;
     srep[rr_s] = rr_p;
     if
     :: rr_p != 0 -> rnext[rr_p - 1] = rr_n
     :: else
     fi;
     rnext[r] = 0; rprev[r] = 0;
     if
     :: sc[t] == 0 -> donate(rr_s, t)
     :: else
     fi
  :: else ->
     if
     :: rr_n != 0 -> rprev[rr_n - 1] = 0
     :: else
     fi;
     if
     :: rr_p != 0 -> rnext[rr_p - 1] = 0
     :: else
     fi;
     rnext[r] = 0; rprev[r] = 0
  fi;
  rt[r] = 0;
  set_state(t, INACTIVE)
}

/* The caller t gives up waiting on r: the stack is cut there, and its context stays where it is. */
inline reply_abandon(r, t) {
  ru_n = rnext[r];
  ru_p = rprev[r];
  if
  :: ru_n > 3 -> srep[ru_n - 4] = 0
  :: ru_n != 0 && ru_n <= 3 -> rprev[ru_n - 1] = 0
  :: else
  fi;
  if
  :: ru_p != 0 -> rnext[ru_p - 1] = 0
  :: else
  fi;
  rnext[r] = 0; rprev[r] = 0;
  rt[r] = 0;
  set_state(t, INACTIVE)
}

/* --- Cancelling ------------------------------------------------------------------------------------------------ */

inline ep_dequeue(e, t) {
  q_remove(EPQ(e), t);
  if
  :: HEAD(EPQ(e)) == 0 -> est[e] = EP_IDLE
  :: else
  fi
}

inline ntfn_dequeue(n, t) {
  q_remove(NQ(n), t);
  if
  :: HEAD(NQ(n)) == 0 -> ns[n] = N_IDLE
  :: else
  fi
}

inline cancel_ipc(t) {
  flt[t] = 0;
  if
  :: st[t] == SENDING -> cx = on[t] - 1; ep_dequeue(cx, t); set_state(t, INACTIVE)
  :: st[t] == RECEIVING ->
     cx = on[t] - 1;
     cr = with[t];
     ep_dequeue(cx, t);
     if
     :: cr != 0 -> rt[cr - 1] = 0
     :: else
     fi;
     set_state(t, INACTIVE)
  :: st[t] == WAITING -> cx = on[t] - 1; ntfn_dequeue(cx, t); set_state(t, INACTIVE)
  :: st[t] == AWAITING_REPLY -> cr = on[t] - 1; reply_abandon(cr, t)
  :: else
  fi
}

/* A queued thread makes its system call again; one that delivers a fault stops. */
inline restart_queued(e, t) {
  cr = with[t];
  ep_dequeue(e, t);
  if
  :: cr != 0 -> rt[cr - 1] = 0
  :: else
  fi;
  if
  :: flt[t] != 0 -> set_state(t, INACTIVE)
  :: else -> set_state(t, RESTART); possible_switch_to(t)
  fi
}

inline cancel_all_ipc(e) {
  if
  :: est[e] != EP_IDLE ->
     do
     :: HEAD(EPQ(e)) != 0 -> ca_t = HEAD(EPQ(e)) - 1; restart_queued(e, ca_t)
     :: else -> break
     od;
     reschedule_required()
  :: else
  fi
}

inline cancel_badged_sends(e, b) {
  if
  :: est[e] == EP_SEND ->
     cb_n = 0;
     do
     :: cb_n < 3 && q[EPQ(e) + cb_n] != 0 ->
        cb_t = q[EPQ(e) + cb_n] - 1;
        if
        :: badge[cb_t] == b -> restart_queued(e, cb_t)
        :: else -> cb_n++
        fi
     :: else -> break
     od;
     reschedule_required()
  :: else
  fi
}

inline cancel_all_signals(n) {
  if
  :: ns[n] == N_WAITING ->
     do
     :: HEAD(NQ(n)) != 0 ->
        cs_t = HEAD(NQ(n)) - 1;
        ntfn_dequeue(n, cs_t);
        set_state(cs_t, RESTART);
        possible_switch_to(cs_t)
     :: else -> break
     od;
     reschedule_required()
  :: else
  fi
}

inline suspend(t) {
  cancel_ipc(t);
  leave_queues(t);
  complete_yield_to((t) + 1);
  set_state(t, INACTIVE)
}

/* --- Messages and signals -------------------------------------------------------------------------------------- */

/* t sends by a cap with badge b to endpoint e (or delivers its fault). All caps here let an answer be given. */
inline send_ipc(t, e, b, blocking_, call_, donate_) {
  if
  :: est[e] != EP_RECEIVE ->
     if
     :: blocking_ ->
        set_state(t, SENDING);
        on[t] = (e) + 1; badge[t] = b; calls[t] = call_;
        q_by_priority(EPQ(e), t);
        est[e] = EP_SEND
     :: else
     fi
  :: else ->
     si_d = HEAD(EPQ(e)) - 1;
     si_r = with[si_d];
     ep_dequeue(e, si_d);
     if
     :: si_r != 0 -> rt[si_r - 1] = 0; set_state(si_d, INACTIVE)
     :: else
     fi;
     if
     :: (call_) || flt[t] != 0 ->
        if
        :: si_r != 0 -> reply_push(t, si_d, si_r - 1, donate_)
        :: else -> set_state(t, INACTIVE)
        fi
     :: else ->
        si_s = sc[t];
        if
        :: (donate_) && sc[si_d] == 0 && si_s != 0 -> donate(si_s - 1, si_d)
        :: else
        fi
     fi;
     set_state(si_d, RUNNING);
     pend[si_d] = 0;
     possible_switch_to(si_d)
  fi
}

/* What went wrong with thread t goes to its handler; without one it stops. A timeout lends no time: there is none. */
inline deliver_fault(t) {
  df_t = (fault_kind == TIMEOUT -> th[t] : fh[t]);
  if
  :: df_t != 0 ->
     flt[t] = fault_kind;
     df_t = df_t - 1;
     send_ipc(t, df_t, 0, 1, 0, (fault_kind != TIMEOUT && sc[t] != 0))
  :: else -> set_state(t, INACTIVE)
  fi
}

/* The signals that wait at notification n go to t. */
inline take_signals(n, t) {
  ns[n] = N_IDLE;
  nb[n] = 0;
  maybe_donate(n, t)
}

/* t receives from endpoint e; r (from 1) is the reply object. Signals of the bound notification come first. */
inline receive_ipc(t, e, r) {
  if
  :: r != 0 ->
     if
     :: rt[r - 1] != 0 && rt[r - 1] != (t) + 1 -> ri_n = rt[r - 1] - 1; cancel_ipc(ri_n)
     :: else
     fi
  :: else
  fi;
  ri_n = bn[t];
  rc = 0;
  if
  :: ri_n != 0 ->
     if
     :: ns[ri_n - 1] == N_ACTIVE -> take_signals(ri_n - 1, t); rc = 1
     :: else ->
        if
        :: waits -> maybe_return(ri_n - 1, t)
        :: else
        fi
     fi
  :: else
  fi;
  if
  :: rc
  :: else ->
     if
     :: est[e] == EP_SEND ->
        ri_s = HEAD(EPQ(e)) - 1;
        rc = calls[ri_s];
        ep_dequeue(e, ri_s);
        if
        :: rc || flt[ri_s] != 0 ->
           if
           :: r != 0 -> reply_push(ri_s, t, r - 1, (flt[ri_s] != TIMEOUT))
           :: else -> set_state(ri_s, INACTIVE)
           fi
        :: else ->
           set_state(ri_s, RUNNING);
           pend[ri_s] = 0;
           possible_switch_to(ri_s)
        fi
     :: else ->
        if
        :: waits ->
           set_state(t, RECEIVING);
           on[t] = (e) + 1; with[t] = r;
           if
           :: r != 0 -> rt[r - 1] = (t) + 1
           :: else
           fi;
           q_by_priority(EPQ(e), t);
           est[e] = EP_RECEIVE
        :: else
        fi
     fi
  fi
}

/* The first who waits gets a signal, or the bound thread if it receives; else it stays at the notification. */
inline send_signal(n, b) {
  sd = 0;
  if
  :: ns[n] == N_ACTIVE -> nb[n] = nb[n] | (b)
  :: ns[n] == N_WAITING -> sd = HEAD(NQ(n)); ntfn_dequeue(n, sd - 1)
  :: else ->
     sd = nbt[n];
     if
     :: sd != 0 && st[sd - 1] == RECEIVING -> cancel_ipc(sd - 1)
     :: else -> sd = 0; ns[n] = N_ACTIVE; nb[n] = b
     fi
  fi;
  if
  :: sd != 0 ->
     sd = sd - 1;
     set_state(sd, RUNNING);
     pend[sd] = 0;
     maybe_donate(n, sd);
     if
     :: SCHEDULABLE(sd) -> possible_switch_to(sd)
     :: else
     fi
  :: else
  fi
}

inline receive_signal(t, n) {
  if
  :: ns[n] == N_ACTIVE -> take_signals(n, t)
  :: else ->
     if
     :: waits ->
        set_state(t, WAITING);
        on[t] = (n) + 1;
        q_by_priority(NQ(n), t);
        ns[n] = N_WAITING;
        maybe_return(n, t)
     :: else
     fi
  fi
}

/* The answer to whoever waits on r. If its time is not there yet, a timeout may follow. */
inline do_reply(r) {
  dr_t = rt[r];
  if
  :: dr_t != 0 && st[dr_t - 1] == AWAITING_REPLY ->
     dr_t = dr_t - 1;
     reply_remove(r, dr_t);
     dr_f = flt[dr_t];
     if
     :: dr_f == 0 -> set_state(dr_t, RUNNING); dr_p = pend[dr_t]; pend[dr_t] = 0
     :: else -> flt[dr_t] = 0; set_state(dr_t, RESTART)
     fi;
     dr_s = sc[dr_t];
     if
     :: dr_s != 0 ->
        if
        :: READY(dr_s - 1) -> possible_switch_to(dr_t)
        :: else ->
           if
           :: th[dr_t] != 0 && dr_f != TIMEOUT ->
              /* It has its answer, but its restart program counter is still at the call: that is made again later, with
               * what the answer has left in the registers. So it invokes the cap at address 0, which is none. */
              faulty = dr_t + 1; fault_kind = TIMEOUT;
              if
              :: dr_f == 0 && dr_p != 0 -> pend[dr_t] = OVERWRITTEN
              :: else
              fi
           :: else -> postpone(dr_s - 1)
           fi
        fi
     :: else
     fi
  :: else
  fi
}

/* --- Destroying ------------------------------------------------------------------------------------------------ */

/* Whether endpoint e is named by no cap any more. */
#define EP_GONE(e) (caps[EP0 + 2 * (e)] != CAP && caps[EP0 + 2 * (e) + 1] != CAP \
  && fh[0] != (e) + 1 && fh[1] != (e) + 1 && fh[2] != (e) + 1 \
  && th[0] != (e) + 1 && th[1] != (e) + 1 && th[2] != (e) + 1)

#define NTFN_GONE(n) ((n) == 1 || (caps[N0_BADGE1] != CAP && caps[N0_BADGE2] != CAP && irq_cap == 0)) \
  && caps[(n == 1 -> N1 : N0)] != CAP

/* Endpoints that have just lost a cap, in order: those that nobody names any more send everybody away. */
inline lost_endpoints() {
  do
  :: gone_n > 0 ->
     lk = gone[0] - 1;
     gone[0] = gone[1]; gone_n--;
     if
     :: EP_GONE(lk) -> cancel_all_ipc(lk)
     :: else
     fi
  :: else -> break
  od
}

inline lose_endpoint(e) { gone[gone_n] = (e) + 1; gone_n++ }

inline lost_notification(n) {
  if
  :: NTFN_GONE(n) ->
     if
     :: nsc[n] != 0 -> sn[nsc[n] - 1] = 0; nsc[n] = 0
     :: else
     fi;
     if
     :: nbt[n] != 0 -> bn[nbt[n] - 1] = 0; nbt[n] = 0
     :: else
     fi;
     cancel_all_signals(n)
  :: else
  fi
}

/* A place between two units of a long operation, at which an interrupt may be let in. */
inline preemption_point() {
  if
  :: interrupted -> preempted = 1; interrupted = 0
  :: else
  fi
}

inline finalise_tcb(t) {
  if
  :: bn[t] != 0 -> nbt[bn[t] - 1] = 0; bn[t] = 0
  :: else
  fi;
  ft_s = sc[t];
  if
  :: ft_s != 0 -> unbind_tcb(ft_s - 1); complete_yield_to(syf[ft_s - 1])
  :: else
  fi;
  suspend(t)
}

/* A thread's own five slots are emptied from the last: timeout handler, fault handler, and three that lead to nothing
 * here. After each comes a preemption point; the zombie says how many are left. */
inline empty_tcb(k, t) {
  do
  :: caps[k] > ZOMBIE && !preempted ->
     if
     :: caps[k] == ZOMBIE + 5 && th[t] != 0 -> lose_endpoint(th[t] - 1); th[t] = 0
     :: caps[k] == ZOMBIE + 4 && fh[t] != 0 -> lose_endpoint(fh[t] - 1); fh[t] = 0
     :: else
     fi;
     caps[k]--;
     preemption_point()
  :: else -> break
  od
}

inline delete_slot(k) {
  if
  :: caps[k] == NO_CAP
  :: else ->
     if
     :: k < N0 -> caps[k] = NO_CAP; lose_endpoint(k / 2)
     :: k >= N0 && k < R0 -> caps[k] = NO_CAP; dc_s = (k == N1 -> 1 : 0); lost_notification(dc_s)
     :: k >= R0 && k < T0 ->
        caps[k] = NO_CAP;
        dc_s = k - R0;
        if
        :: rt[dc_s] != 0 ->
           fr_t = rt[dc_s] - 1;
           if
           :: st[fr_t] == AWAITING_REPLY -> reply_remove(dc_s, fr_t)
           :: else -> cancel_ipc(fr_t)
           fi
        :: else
        fi
     :: k >= T0 && k < S0 ->
        dt_t = k - T0;
        if
        :: caps[k] == CAP -> finalise_tcb(dt_t); caps[k] = ZOMBIE + 5
        :: else
        fi;
        empty_tcb(k, dt_t);
        if
        :: preempted
        :: else -> caps[k] = NO_CAP
        fi
     :: else ->
        caps[k] = NO_CAP;
        dc_s = k - S0;
        unbind_all(dc_s);
        complete_yield_to(syf[dc_s]);
        sact[dc_s] = 0; swait[dc_s] = 0
     fi;
     lost_endpoints()
  fi
}

/* Delete what was derived from a slot, the newest first. Only endpoints and notifications have copies here: handlers'
 * caps are the newest, then the badged ones. None of these is the last cap. */
inline revoke_slot(k) {
  if
  :: caps[k] != CAP
  :: (k == EP0 || k == EP1) && caps[k] == CAP ->
     rv_t = THREADS;
     do
     :: rv_t > 0 && !preempted ->
        rv_t--;
        if
        :: th[rv_t] == k / 2 + 1 -> th[rv_t] = 0; preemption_point()
        :: else
        fi;
        if
        :: !preempted && fh[rv_t] == k / 2 + 1 -> fh[rv_t] = 0; preemption_point()
        :: else
        fi
     :: else -> break
     od;
     if
     :: !preempted && caps[k + 1] == CAP -> caps[k + 1] = NO_CAP; preemption_point()
     :: else
     fi
  :: k == N0 && caps[k] == CAP ->
     if
     :: caps[N0_BADGE2] == CAP -> caps[N0_BADGE2] = NO_CAP; preemption_point()
     :: else
     fi;
     if
     :: !preempted && caps[N0_BADGE1] == CAP -> caps[N0_BADGE1] = NO_CAP; preemption_point()
     :: else
     fi;
     if
     :: !preempted && irq_cap != 0 -> irq_cap = 0; preemption_point()
     :: else
     fi
  :: k == N0_BADGE1 && caps[k] == CAP ->
     if
     :: irq_cap != 0 -> irq_cap = 0; preemption_point()
     :: else
     fi
  :: else
  fi
}

/* --- System calls ---------------------------------------------------------------------------------------------- */

/* The sending half: what the cap in slot k is decides. A cap that is not there is refused, nothing more. */
inline invoke(k) {
  if
  :: caps[k] != CAP
  :: else ->
     st[me] = RESTART;
     if
     :: k < N0 -> in_e = k / 2; in_b = k % 2; send_ipc(me, in_e, in_b, is_blocking, is_call, may_donate)
     :: k >= N0 && k < R0 ->
        in_e = (k == N1 -> 1 : 0);
        in_b = (k == N0_BADGE1 -> 1 : (k == N0_BADGE2 -> 2 : 0));
        send_signal(in_e, in_b)
     :: k >= R0 && k < T0 -> in_e = k - R0; do_reply(in_e)
     :: else
     fi;
     if
     :: st[me] == RESTART -> st[me] = RUNNING
     :: else
     fi
  fi
}

/* The receiving half: from an endpoint with a reply object, or from a notification that is not bound to another. */
inline receive(k) {
  faulty = me + 1;
  fault_kind = CAP_FAULT;
  if
  :: caps[k] == CAP && k < N0 ->
     if
     :: with_reply && caps[from_reply] != CAP
     :: else ->
        faulty = 0;
        lf = k / 2;
        lk = (with_reply -> from_reply - R0 + 1 : 0);
        receive_ipc(me, lf, lk)
     fi
  :: caps[k] == CAP && k >= N0 && k < R0 ->
     lf = (k == N1 -> 1 : 0);
     if
     :: nbt[lf] == 0 || nbt[lf] == me + 1 -> faulty = 0; receive_signal(me, lf)
     :: else
     fi
  :: else
  fi
}

inline restart_thread(t) {
  if
  :: !RUNNABLE(t) ->
     cancel_ipc(t);
     set_state(t, RESTART);
     rs_s = sc[t];
     if
     :: rs_s != 0 -> sc_resume(rs_s - 1)
     :: else
     fi;
     if
     :: SCHEDULABLE(t) -> possible_switch_to(t)
     :: else
     fi
  :: else
  fi
}

inline change_priority(t, p) {
  if
  :: RUNNABLE(t) ->
     if
     :: inq[t] == READY_QUEUE || cur == (t) + 1 -> dequeue(t); prio[t] = p; enqueue(t); reschedule_required()
     :: else -> prio[t] = p
     fi
  :: else ->
     prio[t] = p;
     if
     :: st[t] == SENDING || st[t] == RECEIVING ->
        sp_e = on[t] - 1; q_remove(EPQ(sp_e), t); q_by_priority(EPQ(sp_e), t)
     :: st[t] == WAITING -> sp_e = on[t] - 1; q_remove(NQ(sp_e), t); q_by_priority(NQ(sp_e), t)
     :: else
     fi
  fi
}

inline bind_context(s, k) {
  if
  :: k >= T0 && k < S0 ->
     fs_t = k - T0;
     if
     :: stcb[s] == 0 && sc[fs_t] == 0 && (RUNNABLE(fs_t) || st[fs_t] == INACTIVE || (sact[s] && READY(s))) ->
        sc[fs_t] = s + 1;
        stcb[s] = fs_t + 1;
        sc_resume(s);
        if
        :: SCHEDULABLE(fs_t) -> enqueue(fs_t); reschedule_required()
        :: else
        fi
     :: else
     fi
  :: else ->
     fs_n = (k == N1 -> 1 : 0);
     if
     :: sn[s] == 0 && nsc[fs_n] == 0 -> sn[s] = fs_n + 1; nsc[fs_n] = s + 1
     :: else
     fi
  fi
}

inline unbind_object(s, k) {
  if
  :: k >= T0 && k < S0 ->
     if
     :: stcb[s] == k - T0 + 1 && stcb[s] != cur -> unbind_tcb(s)
     :: else
     fi
  :: else ->
     fs_n = (k == N1 -> 1 : 0);
     if
     :: sn[s] == fs_n + 1 -> unbind_sc_notification(s)
     :: else
     fi
  fi
}

inline yield_to(s) {
  yt_t = stcb[s];
  if
  :: yt_t != 0 && yt_t != cur ->
     yt_t = yt_t - 1;
     complete_yield_to(syf[s]);
     sc_resume(s);
     if
     :: SCHEDULABLE(yt_t) ->
        dequeue(yt_t);
        if
        :: prio[yt_t] < prio[me] -> enqueue(yt_t)
        :: else ->
           yto[me] = s + 1;
           syf[s] = me + 1;
           enqueue(me);
           enqueue(yt_t);
           reschedule_required()
        fi
     :: else
     fi
  :: else
  fi
}

/* Invocations of threads, contexts, slots and the line's handler, whose caps are there. */
inline operate() {
  st[me] = RESTART;
  if
  :: v >= V_SUSPEND && v <= V_UNBIND_NOTIFICATION -> lf = a1 - T0
  :: v >= V_BIND && v <= V_YIELD_TO -> lf = a1 - S0
  :: else
  fi;
  if
  :: v == V_SUSPEND -> suspend(lf)
  :: v == V_RESUME -> restart_thread(lf)
  :: v == V_SET_PRIORITY -> change_priority(lf, a2)
  :: v == V_BIND_NOTIFICATION ->
     lk = (a2 == N1 -> 1 : 0);
     if
     :: caps[a2] == CAP && bn[lf] == 0 && HEAD(NQ(lk)) == 0 && nbt[lk] == 0 -> bn[lf] = lk + 1; nbt[lk] = lf + 1
     :: else
     fi
  :: v == V_UNBIND_NOTIFICATION ->
     if
     :: bn[lf] != 0 -> nbt[bn[lf] - 1] = 0; bn[lf] = 0
     :: else
     fi
  :: v == V_BIND ->
     if
     :: caps[a2] == CAP -> bind_context(lf, a2)
     :: else
     fi
  :: v == V_UNBIND ->
     if
     :: stcb[lf] == cur
     :: else -> unbind_all(lf)
     fi
  :: v == V_UNBIND_OBJECT ->
     if
     :: caps[a2] == CAP -> unbind_object(lf, a2)
     :: else
     fi
  :: v == V_YIELD_TO -> yield_to(lf)
  :: v == V_CANCEL_BADGED ->
     if
     :: caps[a1] == CAP && a1 == EP0_BADGED -> cancel_badged_sends(0, 1)
     :: else
     fi
  :: v == V_DELETE -> delete_slot(a1)
  :: v == V_REVOKE -> revoke_slot(a1)
  :: v == V_ACK -> claimed = 0
  :: else
  fi;
  if
  :: !preempted && st[me] == RESTART -> st[me] = RUNNING
  :: else
  fi
}

/* What the halves of the system call v are. */
inline decode() {
  to_slot = NO_SLOT; from_slot = NO_SLOT; is_blocking = 0; is_call = 0; may_donate = 1; with_reply = 1; waits = 1;
  if
  :: v == V_SEND -> to_slot = a1; is_blocking = 1; may_donate = 0
  :: v == V_NBSEND -> to_slot = a1; may_donate = 0
  :: v == V_CALL -> to_slot = a1; is_blocking = 1; is_call = 1
  :: v == V_RECV -> from_slot = a1; from_reply = a2
  :: v == V_NBRECV -> from_slot = a1; from_reply = a2; waits = 0
  :: v == V_REPLY_RECV -> to_slot = a2; from_slot = a1; from_reply = a2
  :: v == V_NBSEND_RECV -> to_slot = a1; from_slot = a2; from_reply = a3
  :: v == V_NBSEND_WAIT -> to_slot = a1; from_slot = a2; with_reply = 0
  :: v == V_WAIT -> from_slot = a1; with_reply = 0
  :: v == V_POLL -> from_slot = a1; with_reply = 0; waits = 0
  :: else
  fi
}

/* The running thread's turn is over; its next refill comes in some units (if it is not round robin). */
inline end_turn() {
  be_s = sc[cur - 1] - 1;
  if
  :: period[be_s] > 1 -> swait[be_s] = turn_units
  :: else
  fi;
  if
  :: turn_faults && period[be_s] > 1 && th[cur - 1] != 0 -> fault_kind = TIMEOUT; deliver_fault(cur - 1)
  :: else ->
     if
     :: READY(be_s) -> append(cur - 1)
     :: else -> postpone(be_s)
     fi
  fi;
  reschedule_required()
}

inline interrupt_arrives() {
  claimed = 1;
  if
  :: irq_cap != 0 -> send_signal(0, 1)
  :: else
  fi
}

inline time_passes(units) {
  tp_d = units;
  tp_i = 0;
  do
  :: tp_i < 3 -> swait[tp_i] = (swait[tp_i] > tp_d -> swait[tp_i] - tp_d : 0); tp_i++
  :: else -> break
  od
}

/* --- Turns ----------------------------------------------------------------------------------------------------- */

#define ACT 0
#define BUDGET_ENDS 1
#define TIME_PASSES 2
#define INTERRUPT 3

init {
  d_step { c_code { read_configuration(); record_state(); }; preempted = 0 };
end:
  do
  :: atomic {
       /* What happens: one of the running thread's actions, the one that it makes again, or the environment's. */
       if
       :: cur != 0 && pend[cur - 1] == 0 ->
          do
          :: pick < acts[cur - 1] - 1 -> pick++
          :: break
          od;
          pick = 16 * (cur - 1) + pick
       :: cur != 0 && pend[cur - 1] == OVERWRITTEN -> pick = OVERWRITTEN
       :: cur != 0 && pend[cur - 1] != 0 && pend[cur - 1] != OVERWRITTEN -> pick = 16 * (cur - 1) + pend[cur - 1] - 1
       :: cur != 0 && may_end -> choice = BUDGET_ENDS
       :: cur == 0 && HEAD(RELEASEQ) != 0 -> choice = TIME_PASSES
       :: may_interrupt && !claimed -> choice = INTERRUPT
       fi;
       if
       :: choice == ACT && pick != OVERWRITTEN && may_preempt && !claimed &&
          (verb[pick] == V_DELETE || verb[pick] == V_REVOKE) ->
          interrupted = 1
       :: true
       fi;
       /* From here on nothing is left to choose. (A skip ends what could else end in a jump out of a d_step.) */
       d_step {
         turn = 0; irq_now = 0; half = 0; faulty = 0; v = 0;
         if
         :: choice == ACT && pick == OVERWRITTEN -> v = V_CALL; me = cur - 1; decode(); to_slot = NO_SLOT
         :: choice == ACT && pick != OVERWRITTEN ->
            v = verb[pick]; a1 = arg1[pick]; a2 = arg2[pick]; a3 = arg3[pick];
            me = cur - 1;
            pend[me] = pick % 16 + 1;
            decode()
         :: choice == BUDGET_ENDS ->
            time_passes(1);
            turn = 1; turn_units = period[sc[cur - 1] - 1] - 1; turn_faults = 1
         :: choice == TIME_PASSES -> time_passes(swait[sc[HEAD(RELEASEQ) - 1] - 1])
         :: choice == INTERRUPT -> irq_now = 1
         fi;
         skip
       };
       do
       :: v != 0 && half < 2 ->
          /* The halves of a system call, each of which may end in a fault. */
          if
          :: half == 0 && to_slot != NO_SLOT -> d_step { invoke(to_slot); half = 1 }
          :: half == 0 && v == V_FAULT -> d_step { faulty = cur; fault_kind = UNKNOWN_SYSCALL; half = 1 }
          :: half == 1 && from_slot != NO_SLOT -> d_step { receive(from_slot); half = 2 }
          :: else -> half++
          fi;
          if
          :: faulty != 0 -> d_step { faulty = faulty - 1; deliver_fault(faulty); faulty = 0 }
          :: else
          fi
       :: else -> break
       od;
       if
       :: v >= V_CANCEL_BADGED || (v >= V_SUSPEND && caps[a1] == CAP) -> d_step { operate(); skip }
       :: v == V_YIELD -> d_step { turn = 1; turn_units = period[sc[me] - 1]; turn_faults = 0 }
       :: else
       fi;
       d_step {
         if
         :: v != 0 ->
            if
            :: st[me] == RUNNING -> pend[me] = 0
            :: else
            fi;
            irq_now = preempted;
            preempted = 0;
            interrupted = 0
         :: else
         fi;
         if
         :: turn -> end_turn()
         :: else
         fi;
         skip
       };
       d_step {
         if
         :: irq_now -> interrupt_arrives()
         :: else
         fi;
         schedule();
         choice = 0; pick = 0; interrupted = 0; v = 0; a1 = 0; half = 0; turn = 0; irq_now = 0;
         to_slot = 0; from_slot = 0;
         c_code { record_state(); }
       }
     }
  od
}

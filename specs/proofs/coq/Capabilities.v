(** * Capabilities: the derivation tree, and what copies, moves, destroys and makes caps

    A model of the part of the kernel that decides who may name what, without threads, time and preemption. A state is
    the derivation tree itself: a list of trees whose nodes are slots with caps. States may be of any size; the theorems
    are about any number of steps.

    - [steps_keep_wf], [objects_are_disjoint]: two caps lead to the same object or to disjoint memory (G5, G7, G9).
    - [authority_is_confined]: whoever has a cap after any number of steps has no more than some cap gave before
      (no forging; T3).
    - [revoke_is_complete]: after Revoke nothing that was derived from the slot is left (T5).

    seL4's own proofs of the first two are in its invariant and access control proofs; names here are ours. *)

Require Import List Arith Lia Bool.
Import ListNotations.
Set Implicit Arguments.

(** ** Caps *)

Definition slot := nat.

(** Read, write, grant, grant reply. *)
Record rights := Rights { r_read : bool; r_write : bool; r_grant : bool; r_reply : bool }.

Definition mask (a b : rights) : rights :=
  Rights (r_read a && r_read b) (r_write a && r_write b) (r_grant a && r_grant b) (r_reply a && r_reply b).

Definition rights_le (a b : rights) : Prop :=
  (r_read a = true -> r_read b = true) /\ (r_write a = true -> r_write b = true) /\
  (r_grant a = true -> r_grant b = true) /\ (r_reply a = true -> r_reply b = true).

Definition all_rights := Rights true true true true.

(** An untyped covers [size] bytes from [base], of which the first [used] are given out. *)
Inductive cap :=
| Untyped (base size used : nat)
| Object (base size : nat) (r : rights) (badge : nat).

Definition base (c : cap) := match c with Untyped b _ _ => b | Object b _ _ _ => b end.
Definition size (c : cap) := match c with Untyped _ n _ => n | Object _ n _ _ => n end.

Definition within (c : cap) (b n : nat) : Prop := b <= base c /\ base c + size c <= b + n.

Definition disjoint (c d : cap) : Prop := base c + size c <= base d \/ base d + size d <= base c.

Definition same_object (c d : cap) : Prop :=
  match c, d with Object b n _ _, Object b' n' _ _ => b = b' /\ n = n' | _, _ => False end.

(** Two caps do not share memory, unless they are caps to one object. *)
Definition apart (c d : cap) : Prop := disjoint c d \/ same_object c d.

(** [under c d]: what [d] gives, [c] could give. *)
Definition under (c d : cap) : Prop :=
  match c, d with
  | Untyped b n _, _ => within d b n
  | Object b n r _, Object b' n' r' _ => b = b' /\ n = n' /\ rights_le r' r
  | Object _ _ _ _, Untyped _ _ _ => False
  end.

Lemma rights_le_refl : forall r, rights_le r r.
Proof. unfold rights_le; tauto. Qed.

Lemma rights_le_trans : forall a b c, rights_le a b -> rights_le b c -> rights_le a c.
Proof. unfold rights_le; tauto. Qed.

Lemma mask_le : forall a b, rights_le (mask a b) a.
Proof.
  intros [a1 a2 a3 a4] [b1 b2 b3 b4]; unfold rights_le; simpl.
  repeat split; intro H; apply andb_prop in H; tauto.
Qed.

Lemma under_refl : forall c, under c c.
Proof.
  intros [b n u | b n r g]; simpl; unfold within; simpl; [lia |]. auto using rights_le_refl.
Qed.

Lemma under_trans : forall c d e, under c d -> under d e -> under c e.
Proof.
  intros [b n u | b n r g] [b' n' u' | b' n' r' g'] [b'' n'' u'' | b'' n'' r'' g''];
    simpl; unfold within; simpl; try tauto; try lia.
  intros (-> & -> & H) (-> & -> & H'). split; [| split]; auto. eapply rights_le_trans; eauto.
Qed.

Lemma within_under : forall c d b n, within c b n -> under c d -> within d b n.
Proof.
  intros [b0 n0 u | b0 n0 r g] [b' n' u' | b' n' r' g'] b n; simpl; unfold within; simpl; try tauto; try lia.
Qed.

Lemma apart_sym : forall c d, apart c d -> apart d c.
Proof.
  intros c d [H | H]; [left; unfold disjoint in *; lia |].
  right. destruct c, d; simpl in *; tauto || (destruct H; split; congruence).
Qed.

Lemma apart_under : forall c d e, apart c d -> under c e -> apart e d.
Proof.
  intros [b n u | b n r g] [b' n' u' | b' n' r' g'] [b'' n'' u'' | b'' n'' r'' g''] [H | H] U;
    simpl in U; unfold apart, disjoint; unfold within, disjoint in *; simpl in *; try tauto;
    try (destruct U as (-> & -> & _)); try (left; lia); right; tauto.
Qed.

(** ** Trees *)

(** A node is a slot with its cap. Copies of an [original] cap become its kids, copies of another one its siblings. *)
Inductive tree := Node (s : slot) (original : bool) (c : cap) (kids : list tree).

Definition slot_of (t : tree) := match t with Node s _ _ _ => s end.
Definition original_of (t : tree) := match t with Node _ o _ _ => o end.
Definition cap_of (t : tree) := match t with Node _ _ c _ => c end.
Definition kids_of (t : tree) := match t with Node _ _ _ k => k end.

Definition forest := list tree.

(** Induction over a tree and its kids. *)
Section Induction.
  Variable P : tree -> Prop.
  Hypothesis step : forall s o c kids, Forall P kids -> P (Node s o c kids).

  Fixpoint tree_rect' (t : tree) : P t :=
    match t with
    | Node s o c kids =>
        step s o c ((fix all (l : list tree) : Forall P l :=
                     match l with
                     | [] => Forall_nil P
                     | k :: l => Forall_cons k (tree_rect' k) (all l)
                     end) kids)
    end.
End Induction.

(** All caps of a tree. *)
Fixpoint caps (t : tree) : list cap := match t with Node _ _ c kids => c :: flat_map caps kids end.

Definition held (f : forest) : list cap := flat_map caps f.

Fixpoint slots (t : tree) : list slot := match t with Node s _ _ kids => s :: flat_map slots kids end.

Definition occupied (f : forest) (s : slot) : bool := existsb (Nat.eqb s) (flat_map slots f).

Definition apart_trees (t u : tree) : Prop := apart (cap_of t) (cap_of u).

Definition placed (c : cap) (kids : list tree) : Prop :=
  match c with
  | Untyped b n u => u <= n /\ Forall (fun k => within (cap_of k) b u) kids
  | Object _ _ _ _ => Forall (fun k => under c (cap_of k)) kids
  end.

(** A tree is well formed: what is derived from a cap lies in it, and kids of one parent do not share memory. *)
Inductive wf : tree -> Prop :=
| Wf : forall s o c kids,
    placed c kids -> ForallOrdPairs apart_trees kids -> Forall wf kids -> wf (Node s o c kids).

Definition wf_forest (f : forest) : Prop := ForallOrdPairs apart_trees f /\ Forall wf f.

(** ** Operations *)

(** Replace the node at a slot by what [f] makes of it. *)
Fixpoint edit (f : tree -> list tree) (s : slot) (t : tree) : list tree :=
  match t with
  | Node s' o c kids => if Nat.eqb s s' then f t else [Node s' o c (flat_map (edit f s) kids)]
  end.

Inductive op :=
| Copy (src dst : slot) (m : rights)
| Mint (src dst : slot) (m : rights) (badge : nat)
| Move (src dst : slot)
| Delete (s : slot)
| Revoke (s : slot)
| Retype (ut dst : slot) (at_ n : nat)
| RetypeUntyped (ut dst : slot) (at_ n : nat)
| Reset (ut : slot).

(** Derive a cap into an empty slot. Of an untyped only if nothing was made of it yet; then the original is used up. A
    badge is set once; who sets one makes an original. *)
Definition derive (dst : slot) (m : rights) (new_badge : nat) (t : tree) : list tree :=
  match t with
  | Node s o (Object b n r g) kids =>
      let sets := Nat.eqb g 0 && negb (Nat.eqb new_badge 0) in
      let new := Node dst sets (Object b n (mask r m) (if sets then new_badge else g)) [] in
      if negb (Nat.eqb g 0) && negb (Nat.eqb new_badge 0) then [t]
      else if o then [Node s o (Object b n r g) (new :: kids)] else [t; new]
  | Node s o (Untyped b n u) [] => [Node s o (Untyped b n n) [Node dst true (Untyped b n (min u n)) []]]
  | _ => [t]
  end.

Definition move (dst : slot) (t : tree) : list tree := [Node dst (original_of t) (cap_of t) (kids_of t)].
Definition delete (t : tree) : list tree := kids_of t.
Definition revoke (t : tree) : list tree := [Node (slot_of t) (original_of t) (cap_of t) []].

(** Make something of the free memory of an untyped, from an offset that the caller has aligned. *)
Definition retype (dst : slot) (at_ n : nat) (what : nat -> cap) (t : tree) : list tree :=
  match t with
  | Node s o (Untyped b size u) kids =>
      if (u <=? at_) && (at_ + n <=? size)
      then [Node s o (Untyped b size (at_ + n)) (Node dst true (what (b + at_)) [] :: kids)]
      else [t]
  | _ => [t]
  end.

(** What was given out can be given out again once nothing is left of it. *)
Definition reset (t : tree) : list tree :=
  match t with Node s o (Untyped b n _) [] => [Node s o (Untyped b n 0) []] | _ => [t] end.

Definition object (n b : nat) : cap := Object b n all_rights 0.
Definition untyped (n b : nat) : cap := Untyped b n 0.

Definition into (f : forest) (dst : slot) (g : tree -> list tree) (s : slot) : forest :=
  if occupied f dst then f else flat_map (edit g s) f.

Definition perform (f : forest) (o : op) : forest :=
  match o with
  | Copy src dst m => into f dst (derive dst m 0) src
  | Mint src dst m g => into f dst (derive dst m g) src
  | Move src dst => into f dst (move dst) src
  | Delete s => flat_map (edit delete s) f
  | Revoke s => flat_map (edit revoke s) f
  | Retype s dst at_ n => into f dst (retype dst at_ n (object n)) s
  | RetypeUntyped s dst at_ n => into f dst (retype dst at_ n (untyped n)) s
  | Reset s => flat_map (edit reset s) f
  end.

Definition run (f : forest) (ops : list op) : forest := fold_left perform ops f.

(** ** What an edit keeps *)

(** What comes in place of a tree lies under its cap, and is well formed. *)
Definition good (t : tree) (ts : list tree) : Prop :=
  Forall wf ts /\ ForallOrdPairs apart_trees ts /\ Forall (fun x => under (cap_of t) (cap_of x)) ts.

Definition safe (f : tree -> list tree) : Prop := forall t, wf t -> good t (f t).

Lemma pairs_app : forall (l m : list tree),
  ForallOrdPairs apart_trees l -> ForallOrdPairs apart_trees m ->
  (forall x y, In x l -> In y m -> apart_trees x y) -> ForallOrdPairs apart_trees (l ++ m).
Proof.
  induction l as [| a l IH]; simpl; intros m Hl Hm H; auto.
  inversion Hl; subst. constructor.
  - apply Forall_app; split; auto. apply Forall_forall; intros y Hy; apply H; auto.
  - apply IH; auto.
Qed.

Lemma apart_good : forall t u ts us x y,
  apart_trees t u -> good t ts -> good u us -> In x ts -> In y us -> apart_trees x y.
Proof.
  intros t u ts us x y A (_ & _ & T) (_ & _ & U) X Y.
  rewrite Forall_forall in T, U. specialize (T _ X). specialize (U _ Y).
  unfold apart_trees in *. eapply apart_under; eauto. apply apart_sym.
  eapply apart_under; eauto. apply apart_sym; auto.
Qed.

Lemma pairs_flat_map : forall (g : tree -> list tree) l,
  ForallOrdPairs apart_trees l -> (forall t, In t l -> good t (g t)) ->
  ForallOrdPairs apart_trees (flat_map g l).
Proof.
  induction l as [| a l IH]; simpl; intros A G; [constructor |].
  inversion A as [| ? ? Ha Hl]; subst.
  apply pairs_app; auto.
  - apply G; auto.
  - intros x y X Y. apply in_flat_map in Y as (u & U & Y).
    rewrite Forall_forall in Ha. eapply apart_good with (t := a) (u := u); eauto.
Qed.

Lemma wf_flat_map : forall (g : tree -> list tree) l,
  (forall t, In t l -> good t (g t)) -> Forall wf (flat_map g l).
Proof.
  intros g l G. apply Forall_forall. intros x X. apply in_flat_map in X as (t & T & X).
  destruct (G _ T) as (W & _ & _). rewrite Forall_forall in W. auto.
Qed.

Lemma placed_flat_map : forall c (g : tree -> list tree) l,
  placed c l -> (forall t, In t l -> good t (g t)) -> placed c (flat_map g l).
Proof.
  intros c g l P G. destruct c as [b n u | b n r bd]; simpl in *.
  - destruct P as [Hu P]. split; auto. apply Forall_forall. intros x X.
    apply in_flat_map in X as (t & T & X). destruct (G _ T) as (_ & _ & U). rewrite Forall_forall in P, U.
    eapply within_under; eauto.
  - apply Forall_forall. intros x X. apply in_flat_map in X as (t & T & X).
    destruct (G _ T) as (_ & _ & U). rewrite Forall_forall in P, U.
    apply (@under_trans (Object b n r bd) (cap_of t) (cap_of x)); auto. apply P; auto.
Qed.

Lemma edit_is_safe : forall f s, safe f -> safe (edit f s).
Proof.
  intros f s F t. induction t as [s' o c kids IH] using tree_rect'; intros W.
  simpl. destruct (Nat.eqb s s').
  - apply F; auto.
  - inversion W as [? ? ? ? P A K]; subst.
    assert (G : forall t, In t kids -> good t (edit f s t)).
    { intros t T. rewrite Forall_forall in IH, K. auto. }
    repeat split.
    + repeat constructor.
      * apply placed_flat_map; auto.
      * apply pairs_flat_map; auto.
      * apply wf_flat_map; auto.
    + repeat constructor.
    + repeat constructor. simpl. apply under_refl.
Qed.

Lemma same_is_good : forall t, wf t -> good t [t].
Proof. intros t W. repeat split; repeat constructor; auto. apply under_refl. Qed.

Lemma objects_under_one_are_apart : forall b n r g kids,
  Forall (fun k => under (Object b n r g) (cap_of k)) kids -> ForallOrdPairs apart_trees kids.
Proof.
  induction kids as [| k kids IH]; intros H; constructor; inversion H as [| ? ? K L]; subst; auto.
  apply Forall_forall. intros x X. rewrite Forall_forall in L. specialize (L _ X).
  unfold apart_trees, apart. right. destruct (cap_of k), (cap_of x); simpl in *; try contradiction.
  destruct K as (<- & <- & _), L as (<- & <- & _). auto.
Qed.

Lemma derive_is_safe : forall dst m g, safe (derive dst m g).
Proof.
  intros dst m g t W. destruct t as [s o c kids]. inversion W as [? ? ? ? P A K]; subst.
  destruct c as [b n u | b n r bd].
  - destruct kids as [| k kids]; [| apply same_is_good; auto].
    simpl in *. destruct P as [Hu _].
    repeat split; repeat constructor; simpl; unfold within; simpl; lia.
  - simpl. set (sets := Nat.eqb bd 0 && negb (Nat.eqb g 0)). set (g' := if sets then g else bd). clearbody sets g'.
    assert (D : under (Object b n r bd) (Object b n (mask r m) g')) by (simpl; auto using mask_le).
    assert (R : under (Object b n r bd) (Object b n r bd)) by apply under_refl.
    assert (N : wf (Node dst sets (Object b n (mask r m) g') [])) by (repeat constructor).
    match goal with |- good _ (if ?refused then _ else _) => destruct refused; [apply same_is_good; auto |] end.
    destruct o.
    + assert (P' : Forall (fun k => under (Object b n r bd) (cap_of k))
                     (Node dst sets (Object b n (mask r m) g') [] :: kids)) by (constructor; auto).
      repeat split; [constructor; [constructor | constructor] | repeat constructor | constructor; auto].
      * exact P'.
      * apply objects_under_one_are_apart with (b := b) (n := n) (r := r) (g := bd). exact P'.
      * constructor; auto.
    + repeat split; [constructor; auto | | constructor; auto].
      apply objects_under_one_are_apart with (b := b) (n := n) (r := r) (g := bd). constructor; auto.
Qed.

Lemma move_is_safe : forall dst, safe (move dst).
Proof.
  intros dst t W. destruct t as [s o c kids]. inversion W as [? ? ? ? P A K]; subst.
  repeat split; [constructor; [constructor; auto | constructor] | repeat constructor | constructor; auto].
  apply under_refl.
Qed.

Lemma revoke_is_safe : safe revoke.
Proof.
  intros t W. destruct t as [s o c kids]. inversion W as [? ? ? ? P A K]; subst.
  repeat split; [constructor; [constructor |] | repeat constructor | constructor; auto]; auto; try constructor.
  - destruct c; simpl in *; [split; [tauto |] |]; constructor.
  - apply under_refl.
Qed.

Lemma delete_is_safe : safe delete.
Proof.
  intros t W. destruct t as [s o c kids]. inversion W as [? ? ? ? P A K]; subst. unfold delete; simpl.
  repeat split; auto. simpl. destruct c as [b n u | b n r g]; simpl in *; auto.
  destruct P as [Hu P]. eapply Forall_impl; [| exact P]. unfold within. simpl. lia.
Qed.

Lemma retype_is_safe : forall dst at_ n what,
  (forall b, base (what b) = b /\ size (what b) = n) -> (forall b, placed (what b) []) ->
  safe (retype dst at_ n what).
Proof.
  intros dst at_ n what Z E t W. destruct t as [s o c kids]. inversion W as [? ? ? ? P A K]; subst.
  destruct c as [b m u | b m r g]; [| apply same_is_good; auto]. simpl.
  destruct ((u <=? at_) && (at_ + n <=? m)) eqn:L; [| apply same_is_good; auto].
  apply andb_prop in L as [Lu Lm]. apply Nat.leb_le in Lu, Lm.
  simpl in P. destruct P as [Hu P]. destruct (Z (b + at_)) as [Zb Zs].
  assert (N : within (what (b + at_)) b (at_ + n)) by (unfold within; rewrite Zb, Zs; lia).
  repeat split; [constructor; [constructor | constructor] | repeat constructor | constructor; auto].
  - simpl. split; auto. constructor; auto. eapply Forall_impl; [| exact P]. unfold within. simpl. lia.
  - constructor; auto. eapply Forall_impl; [| exact P]. unfold apart_trees, apart, disjoint, within. simpl.
    intros x X. left. rewrite Zb, Zs. lia.
  - constructor; auto. constructor; [apply E | constructor | constructor].
  - simpl. unfold within. simpl. lia.
Qed.

Lemma reset_is_safe : safe reset.
Proof.
  intros t W. destruct t as [s o c kids]. inversion W as [? ? ? ? P A K]; subst.
  destruct c as [b n u | b n r g]; [| apply same_is_good; auto].
  destruct kids as [| k kids]; [| apply same_is_good; auto]. simpl.
  repeat split; repeat constructor; simpl; unfold within; simpl; lia.
Qed.

(** ** Untyped memory is given out once, after any number of steps *)

Lemma edits_keep_wf : forall f s ts, safe f -> wf_forest ts -> wf_forest (flat_map (edit f s) ts).
Proof.
  intros f s ts F [A W].
  assert (G : forall t, In t ts -> good t (edit f s t)).
  { intros t T. apply edit_is_safe; auto. rewrite Forall_forall in W. auto. }
  split; [apply pairs_flat_map; auto | apply wf_flat_map; auto].
Qed.

Theorem step_keeps_wf : forall f o, wf_forest f -> wf_forest (perform f o).
Proof.
  intros f o W. assert (I : forall dst g s, safe g -> wf_forest (into f dst g s)).
  { intros dst g s G. unfold into. destruct (occupied f dst); auto. apply edits_keep_wf; auto. }
  destruct o; simpl.
  - apply I, derive_is_safe.
  - apply I, derive_is_safe.
  - apply I, move_is_safe.
  - apply edits_keep_wf; auto using delete_is_safe.
  - apply edits_keep_wf; auto using revoke_is_safe.
  - apply I, retype_is_safe; simpl; auto.
  - apply I, retype_is_safe; simpl; auto. intros b. split; [lia | constructor].
  - apply edits_keep_wf; auto using reset_is_safe.
Qed.

Theorem steps_keep_wf : forall ops f, wf_forest f -> wf_forest (run f ops).
Proof. induction ops; simpl; intros; auto. apply IHops, step_keeps_wf; auto. Qed.

(** A machine begins with one untyped that covers its memory. *)
Theorem beginning_is_wf : forall s b n, wf_forest [Node s true (Untyped b n 0) []].
Proof. intros s b n. repeat split; repeat constructor. lia. Qed.

(** Everything in a tree lies under its cap. *)
Lemma caps_under : forall t, wf t -> Forall (under (cap_of t)) (caps t).
Proof.
  induction t as [s o c kids IH] using tree_rect'; intros W. inversion W as [? ? ? ? P A K]; subst. simpl.
  constructor; [apply under_refl |].
  apply Forall_forall. intros d D. apply in_flat_map in D as (k & In_k & D).
  rewrite Forall_forall in IH, K. specialize (IH _ In_k (K _ In_k)). rewrite Forall_forall in IH.
  specialize (IH _ D). apply under_trans with (d := cap_of k); [| exact IH].
  destruct c as [b n u | b n r g]; simpl in P.
  - destruct P as [Hu P]. rewrite Forall_forall in P. specialize (P _ In_k). simpl. unfold within in *. lia.
  - rewrite Forall_forall in P. exact (P _ In_k).
Qed.

Definition is_object (c : cap) : Prop := match c with Object _ _ _ _ => True | _ => False end.

Lemma objects_of_tree_apart : forall t, wf t ->
  forall c d, In c (caps t) -> In d (caps t) -> is_object c -> is_object d -> apart c d.
Proof.
  induction t as [s o e kids IH] using tree_rect'; intros W c d C D Oc Od.
  inversion W as [? ? ? ? P A K]; subst.
  destruct e as [b n u | b n r g].
  - simpl in C, D. destruct C as [C | C]; [subst; contradiction |]. destruct D as [D | D]; [subst; contradiction |].
    apply in_flat_map in C as (k & Ink & C). apply in_flat_map in D as (l & Inl & D).
    rewrite Forall_forall in IH, K.
    destruct (ForallOrdPairs_In A k l Ink Inl) as [E | [E | E]].
    + subst l. apply (IH k); auto.
    + pose proof (caps_under (K _ Ink)) as Uk. pose proof (caps_under (K _ Inl)) as Ul.
      rewrite Forall_forall in Uk, Ul. unfold apart_trees in E.
      apply apart_under with (c := cap_of k); auto. apply apart_sym.
      apply apart_under with (c := cap_of l); auto. apply apart_sym; auto.
    + pose proof (caps_under (K _ Ink)) as Uk. pose proof (caps_under (K _ Inl)) as Ul.
      rewrite Forall_forall in Uk, Ul. unfold apart_trees in E. apply apart_sym in E.
      apply apart_under with (c := cap_of k); auto. apply apart_sym.
      apply apart_under with (c := cap_of l); auto. apply apart_sym; auto.
  - pose proof (caps_under W) as U. rewrite Forall_forall in U.
    pose proof (U _ C) as Uc. pose proof (U _ D) as Ud. right.
    destruct c, d; simpl in *; try contradiction. destruct Uc as (-> & -> & _), Ud as (-> & -> & _). auto.
Qed.

(** G5, G7, G9: two caps to objects lead to one object, or to memory that they do not share. *)
Theorem objects_are_disjoint : forall f, wf_forest f ->
  forall c d, In c (held f) -> In d (held f) -> is_object c -> is_object d -> apart c d.
Proof.
  intros f [A W] c d C D Oc Od. unfold held in *.
  apply in_flat_map in C as (k & Ink & C). apply in_flat_map in D as (l & Inl & D).
  rewrite Forall_forall in W.
  pose proof (caps_under (W _ Ink)) as Uk. pose proof (caps_under (W _ Inl)) as Ul.
  rewrite Forall_forall in Uk, Ul.
  destruct (ForallOrdPairs_In A k l Ink Inl) as [E | [E | E]].
  - subst l. apply (objects_of_tree_apart (W _ Ink)); auto.
  - unfold apart_trees in E. apply apart_under with (c := cap_of k); auto. apply apart_sym.
    apply apart_under with (c := cap_of l); auto. apply apart_sym; auto.
  - unfold apart_trees in E. apply apart_sym in E. apply apart_under with (c := cap_of k); auto. apply apart_sym.
    apply apart_under with (c := cap_of l); auto. apply apart_sym; auto.
Qed.

(** ** Authority is confined: nobody forges *)

(** T3: each cap after a step gives no more than some cap before it did. *)
Theorem step_confines : forall f o, wf_forest f ->
  forall d, In d (held (perform f o)) -> exists c, In c (held f) /\ under c d.
Proof.
  assert (E : forall g s ts, safe g -> wf_forest ts -> forall d, In d (held (flat_map (edit g s) ts)) ->
              exists c, In c (held ts) /\ under c d).
  { intros g s ts G [_ W] d D. unfold held in *.
    apply in_flat_map in D as (x & X & D). apply in_flat_map in X as (t & T & X).
    rewrite Forall_forall in W.
    destruct (edit_is_safe s G (W _ T)) as (Wx & _ & U). rewrite Forall_forall in Wx, U.
    exists (cap_of t). split.
    - apply in_flat_map. exists t. split; auto. destruct t; simpl; auto.
    - pose proof (caps_under (Wx _ X)) as Ux. rewrite Forall_forall in Ux.
      apply under_trans with (d := cap_of x); auto. }
  intros f o W d D.
  assert (S : In d (held f) -> exists c, In c (held f) /\ under c d) by (intros; exists d; auto using under_refl).
  assert (I : forall dst g s, safe g -> In d (held (into f dst g s)) -> exists c, In c (held f) /\ under c d).
  { intros dst g s G. unfold into. destruct (occupied f dst); eauto. }
  destruct o; simpl in D; eauto using derive_is_safe, move_is_safe, delete_is_safe, revoke_is_safe, reset_is_safe.
  - eapply I; [| exact D]. apply retype_is_safe; simpl; auto.
  - eapply I; [| exact D]. apply retype_is_safe; simpl; auto. intros b. split; [lia | constructor].
Qed.

Theorem authority_is_confined : forall ops f, wf_forest f ->
  forall d, In d (held (run f ops)) -> exists c, In c (held f) /\ under c d.
Proof.
  induction ops as [| o ops IH]; simpl; intros f W d D.
  - exists d. auto using under_refl.
  - destruct (IH _ (step_keeps_wf o W) _ D) as (c & C & U).
    destruct (step_confines o W _ C) as (c' & C' & U'). exists c'. split; auto.
    apply under_trans with (d := c); auto.
Qed.

(** ** Revoke is complete *)

(** All nodes of a tree. *)
Fixpoint nodes (t : tree) : list tree := match t with Node _ _ _ kids => t :: flat_map nodes kids end.

Lemma revoked_has_no_kids : forall s t, forall x,
  In x (flat_map nodes (edit revoke s t)) -> slot_of x = s -> kids_of x = [].
Proof.
  intros s t. induction t as [s' o c kids IH] using tree_rect'; intros x X E. simpl in X.
  destruct (Nat.eqb s s') eqn:S.
  - simpl in X. destruct X as [X | X]; [subst; reflexivity | contradiction].
  - simpl in X. destruct X as [X | X].
    + subst x. simpl in E. apply Nat.eqb_neq in S. congruence.
    + rewrite app_nil_r in X. apply in_flat_map in X as (k & Ink & X). apply in_flat_map in Ink as (t & T & Ink).
      rewrite Forall_forall in IH. apply (IH t T); auto. apply in_flat_map. exists k; auto.
Qed.

(** T5: after Revoke nothing that was derived from the slot is left. *)
Theorem revoke_is_complete : forall f s x,
  In x (flat_map nodes (perform f (Revoke s))) -> slot_of x = s -> kids_of x = [].
Proof.
  intros f s x X E. simpl in X. apply in_flat_map in X as (k & Ink & X). apply in_flat_map in Ink as (t & T & Ink).
  apply revoked_has_no_kids with (s := s) (t := t); auto. apply in_flat_map. exists k; auto.
Qed.

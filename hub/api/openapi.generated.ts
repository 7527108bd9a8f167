/** Generated from openapi.yaml by .ci/generate-api.mjs. Do not edit. */
export interface paths {
    "/reports": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The reports that there are, with their columns. Health commission only. */
        get: operations["listReports"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/reports/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Runs a report over whole months. Health commission only; audited before the first byte leaves. */
        get: operations["runReport"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/scoring/course": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How one of a patient's scores went over time: a point for each sample or study, the score that was issued last. It is made of the Observations that a FHIR search shows to the caller, the newest of them, and is audited as that search. */
        get: operations["courseOfScore"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Why somebody may or may not do something with a record, and what if, without touching the record; graded by who asks. */
        post: operations["explainAccess"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/break-glass": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A physician opens a session for one patient in an emergency. Needs a fresh sign-in (401 with `insufficient_user_authentication`, RFC 9470, otherwise). The answer is the same whether or not there is such a patient; the patient and her custodians are told, and a review is owed. */
        post: operations["breakTheGlass"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/oversight-cases": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** An officer of the health commission opens a case about one patient. It opens nothing before another officer confirms it. */
        post: operations["openOversightCase"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/exceptional": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Break-glass sessions and oversight cases: one's own; for officers the commission's cases; for a hospital's administrator those of its people and those about its patients; for the patient those about her; for auditors all, which is the reviewers' queue. */
        get: operations["listExceptionalAccess"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/exceptional/{id}/token": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Another token for one's own access, while it is open. */
        post: operations["exceptionalAccessToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/exceptional/{id}/end": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Ends one's own access; any officer of the commission ends a case. Its tokens are worth nothing from the next request on. */
        post: operations["endExceptionalAccess"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/exceptional/{id}/confirm": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Another officer of the commission confirms a case, which opens it. */
        post: operations["confirmOversightCase"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/exceptional/{id}/review": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** An auditor, never the practitioner himself, finds a session justified or not. One that was not may suspend his further use. */
        post: operations["reviewBreakGlass"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/exceptional/{id}/flag": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** The administrator of a custodian whose patient was opened asks the reviewers to look closely. */
        post: operations["flagExceptionalAccess"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/agreements/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The terms of a sharing agreement or a membership (OrganizationAffiliation), whether it is in force, and who has signed. For the administrators of its parties and of the hub, and for auditors. */
        get: operations["readAgreement"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/agreements/{id}/signature": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A hospital's administrator signs the terms for his hospital. It takes effect when both sides of an agreement have signed, by two people; a membership by the member's signature. Other terms make all signatures void. */
        post: operations["signAgreement"];
        /** A party takes its signature back. The agreement ends at once, and begins again only when all sign anew. */
        delete: operations["withdrawAgreement"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/policy": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The policy's epochs, newest first, and what is proposed. For auditors and hub administrators; the first epoch is the one in force. */
        get: operations["readPolicy"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/policy/epochs/{number}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One epoch with its rules and examples. For auditors and hub administrators. */
        get: operations["readPolicyEpoch"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/policy/proposals": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A hub administrator proposes a policy, or to bring an earlier epoch back. It is validated and self-tested; each fault is an issue that names its line. Nothing changes until another person publishes it. */
        post: operations["proposePolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/policy/proposals/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** An open proposal with what it would change. */
        get: operations["readPolicyProposal"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/policy/proposals/{id}/publish": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A hub administrator puts in force what another person proposed, for every process at once. 409 when the policy changed in the meantime. */
        post: operations["publishPolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/policy/proposals/{id}/withdraw": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A hub administrator gives a proposal up. */
        post: operations["withdrawPolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/access/policy/replay": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** For auditors: makes a past decision again, under the epoch that decided it and on the conditions that held, and says what the epoch in force now would decide on the same facts. */
        post: operations["replayDecision"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/notices": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the caller's organization is to be told of and has not acknowledged yet, oldest first: steps of referrals, break-glass and oversight of its patients. A notice names records and holds none of their content. */
        get: operations["listNotices"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/notices/{id}/acknowledgement": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** The organization has taken note; the notice is not listed again. Safe to repeat. */
        post: operations["acknowledgeNotice"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/launch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A hospital's system opens one of its patients for one of its people (SMART App Launch 2, EHR launch). The answer is opaque, works once, within minutes, and for that person alone; it is given to the token endpoint as `launch`, whose answer then names the `patient`. */
        post: operations["openLaunch"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/quarantine": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What could not be taken from a hospital's archives, with the reason. Its administrator sees his hospital's. */
        get: operations["listQuarantine"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/quarantine/{id}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Reads the item again from its source. */
        post: operations["retryQuarantined"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/quarantine/{id}/discard": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sets the item aside for good; it comes back only with other bytes. */
        post: operations["discardQuarantined"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/scoring/failures": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Scores of a hospital's studies that failed for good, with the reason, for its administrator. One is tried again by an update of its Task to `requested`. */
        get: operations["listFailedScores"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/scoring/jobs/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How far the scoring job of a Task is, as server-sent events, until it is over. Each event is named `progress` and tells all there is; Last-Event-ID is not needed. Whoever may read the Task may follow it, and only as long as he may and his token holds. For polling, the Task itself tells its state. */
        get: operations["followScoring"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/sources/{id}/changed": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** An archive announces that something changed in it, by the notifyToken of its hospital's record; the hub then asks it what. Any body is ignored. */
        post: operations["sourceChanged"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/scoring/reports/{id}/review": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A physician accepts, corrects or rejects a report that a model made: of the custodian, or of the hospital that asked for the score, and who may read the study. The report becomes final, corrected or entered-in-error in its next version, its Observations follow, and what was said before stays readable under its version. 412 when the report is another version by now, 409 when a newer score has taken its place. */
        post: operations["reviewScoringReport"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/identity/links": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Pairs of Patients that may be, or are, one person. For identity stewards. */
        get: operations["listLinks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/identity/links/{id}/{decision}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A steward of one of the two hospitals accepts that the two Patients are one person, rejects it, or takes a link back. They are linked once both hospitals have accepted; either one alone rejects or unlinks. */
        post: operations["decideLink"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/audit/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Public keys of the signed tree heads of the audit, for pinning. */
        get: operations["auditKeys"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/audit/tree-heads": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Signed tree heads of the audit, newest first. Auditors only. */
        get: operations["listTreeHeads"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/audit/tree-heads/latest": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The newest signed tree head, to be kept by a witness. Auditors only. */
        get: operations["latestTreeHead"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/audit/proof/inclusion": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** That one event is in the tree (RFC 6962 2.1.1). Auditors only; an event that is not sealed yet is sealed first. */
        get: operations["proveInclusion"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/audit/proof/consistency": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** That the tree of `from` leaves is the beginning of the tree of `to` leaves (RFC 6962 2.1.2). Auditors only. */
        get: operations["proveConsistency"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/audit/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The audit with what proves it (docs/audit-proof.md). Auditors only; on record before the first byte leaves. */
        get: operations["exportAudit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/scoring/reports/{id}/structured-report": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A published score as a DICOM document, for whoever may read its DiagnosticReport: a structured report (Comprehensive 3D SR, TID 1500), preliminary and not verified until a physician has accepted or corrected it, then verified by him, with the report before it as its predecessor; once he has rejected it a rejection note (Key Object Selection, TID 2010) that withdraws the reports. Who the patient is stands in it only for those who may read the Patient; for others it says that this was left out. 409 for what was corrected or rejected before such words were kept, or withdrawn because its study is another patient's. */
        get: operations["readStructuredReport"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/scoring/reports/{id}/annotations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What a viewer draws over the images of a scored study, frame by frame: boxes, for whoever may read the DiagnosticReport, and heat maps, for those who may also retrieve the study. As it stands: a physician's corrections in his name and without the model's heat maps, and nothing of what he rejected. 409 for what was corrected or rejected before such words were kept, or withdrawn because its study is another patient's. */
        get: operations["readAnnotations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The process runs. */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Requests can be served; the database answers, its schema is the program's, the audit can be written, the policy in force can be enforced. */
        get: operations["readiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Prometheus metrics; only for a caller on the same machine that no proxy stands before, else 404. */
        get: operations["metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        ScoreCourse: {
            patient: string;
            model: string;
            /** @description What the score is. */
            title: string;
            /** @description UCUM code of the values. */
            unit: string;
            /** @description In the order of time; of a moment that was scored more than once, what a physician stands behind, else the latest; nothing that was superseded. */
            points: {
                /** @description Reference to the Observation. */
                observation: string;
                /** @description FHIR dateTime of the sample or study. */
                effective: string;
                value: number;
                /** @description Observation.status; preliminary until a physician has decided. */
                status: string;
                /** @description The model and its version. */
                method: string;
                /** @description Reference to the Device that is this version of the model: values of different ones are not to be compared. */
                device: string;
                /** @description Of this value, where it has one. */
                threshold?: number;
            }[];
        };
        /** @example 2025-11 */
        Month: string;
        Bilingual: {
            zh: string;
            en: string;
        };
        ReportColumn: {
            name: string;
            title: components["schemas"]["Bilingual"];
            /** @enum {string} */
            type: "text" | "integer" | "decimal";
        };
        ReportDescription: {
            name: string;
            title: components["schemas"]["Bilingual"];
            description: components["schemas"]["Bilingual"];
            columns: components["schemas"]["ReportColumn"][];
        };
        ReportList: {
            reports: components["schemas"]["ReportDescription"][];
        };
        ReportResult: components["schemas"]["ReportDescription"] & {
            from: components["schemas"]["Month"];
            until: components["schemas"]["Month"];
            rows: {
                [key: string]: string | number | null;
            }[];
        };
        ScoringReview: {
            /** @enum {string} */
            decision: "accept" | "correct" | "reject";
            /**
             * @description Needed but to accept; `other` needs a text.
             * @enum {string}
             */
            reason?: "agreed" | "false-positive" | "missed-finding" | "wrong-place" | "wrong-value" | "image-quality" | "not-applicable" | "other";
            /** @description The physician's own words */
            text?: string;
            /** @description Of a correction */
            positive?: boolean;
            /** @description Of a correction; findings that are not named stand. */
            findings?: {
                /** @enum {string} */
                change: "remove" | "change" | "add";
                /** @description Of the report; to change or remove. */
                observation?: string;
                box?: components["schemas"]["BoxOnImage"];
                diameterMm?: number;
                text?: string;
            }[];
            /** @description Of a correction; values about the whole, by their code. Where findings change, a value that is not given anew is left out: it was counted or measured over what is no longer so. */
            values?: {
                code: string;
                value: number | string | null;
            }[];
        };
        /** @description In pixels of one frame, from its upper left corner; the image is one of the study. */
        BoxOnImage: {
            sopInstanceUid: string;
            /** @default 1 */
            frame: number;
            x: number;
            y: number;
            width: number;
            height: number;
        };
        ExplainRequest: {
            /** @example ImagingStudy/0198c0de-0000-7000-8000-000000000001 */
            resource: string;
            /** @enum {string} */
            action: "know" | "read" | "retrieve" | "write" | "score" | "disclose";
            /** @description About whom. Another purpose of one's own; for an auditor, the patient of the record and its custodian's administrator also an organization (a physician there who treats, unless role and purpose say otherwise) or a practitioner of it. */
            subject?: {
                organization?: string;
                practitioner?: string;
                role?: string;
                /** @enum {string} */
                purpose?: "TREAT" | "ETREAT" | "BTG" | "HRESCH" | "HOPERAT" | "PUBHLTH" | "PATRQT" | "HCOMPL";
            };
            /** @description What to assume, for those who may ask about others. Nothing is written. */
            whatIf?: {
                /** @description Facts to leave out, as the evidence of an explanation names them. */
                without?: {
                    /** @enum {string} */
                    kind: "consent" | "agreement" | "grant";
                    id: string;
                }[];
                /** @description A sharing agreement from the record's custodian to the organization asked about; what is left out limits nothing. */
                agreement?: {
                    modality?: string[];
                    bodySite?: string[];
                    purpose?: string[];
                    notOlderThanDays?: number;
                };
            };
        };
        Evidence: {
            kind: string;
            id: string;
            version?: number;
            provision?: string;
        };
        Explanation: {
            allowed: boolean;
            rule?: string;
            basis?: string;
            evidence?: components["schemas"]["Evidence"][];
            /**
             * @description Allowed in part, for some series of the study.
             * @enum {boolean}
             */
            part?: true;
            signatures?: components["schemas"]["SignatureBehind"][];
            /** @enum {string} */
            reason?: "no-basis" | "consent" | "purpose" | "label" | "suspended" | "quarantine";
            wouldChange?: string[];
            /** @description Whom the decision is for. */
            subject?: {
                organization?: string;
                practitioner?: string;
                role: string;
                purpose: string;
            };
        };
        /** @description By reference or by identifier, one of the two. */
        NamedPatient: {
            /** @example Patient/0198c0de-0000-7000-8000-000000000001 */
            reference?: string;
            identifier?: {
                system: string;
                value: string;
            };
        };
        LaunchRequest: {
            patient: {
                identifier: {
                    system: string;
                    value: string;
                };
            };
            /** @description A person of the hospital, as her issuer calls her. */
            user: {
                subject: string;
                /** @description Default */
                issuer?: string;
            };
        };
        Launch: {
            launch: string;
            /** @description Base of the FHIR face. */
            iss: string;
            /** @description The hub's own page with this context. */
            url: string;
            /** @description Seconds. */
            expiresIn: number;
        };
        BreakGlassRequest: {
            patient: components["schemas"]["NamedPatient"];
            /** @enum {string} */
            reason: "life-threatening" | "unconscious" | "urgent-care" | "other";
            /** @description In the physician's own words. */
            statement: string;
        };
        OversightCaseRequest: {
            patient: components["schemas"]["NamedPatient"];
            caseNumber: string;
            /** @enum {string} */
            ground: "complaint" | "incident-investigation" | "quality-inspection" | "court-order" | "outbreak";
            statement: string;
        };
        ReviewRequest: {
            /** @enum {string} */
            finding: "justified" | "not-justified";
            comment: string;
            /** @description Only with not-justified; no break-glass for this person meanwhile. */
            suspendDays?: number;
        };
        FlagRequest: {
            comment: string;
        };
        AccessTokenResponse: {
            access_token: string;
            /** @enum {string} */
            token_type: "bearer";
            /** @description Seconds. */
            expires_in: number;
            scope: string;
        };
        BreakGlassSession: {
            id: string;
            /** Format: date-time */
            until: string;
            /** Format: date-time */
            reviewDue: string;
            token: components["schemas"]["AccessTokenResponse"];
        };
        ExceptionalAccess: {
            id: string;
            /** @enum {string} */
            kind: "break-glass" | "oversight";
            agent: string;
            name: string;
            organization: string;
            reason: string;
            statement: string;
            caseNumber?: string;
            /** Format: date-time */
            openedAt: string;
            confirmedBy?: string;
            /** Format: date-time */
            until: string;
            /** Format: date-time */
            endedAt?: string;
            /** @enum {string} */
            state: "pending" | "open" | "over";
            /** @enum {string} */
            review?: "owed" | "overdue" | "justified" | "not-justified";
            /** Format: date-time */
            reviewDue?: string;
            reviewedBy?: string;
            reviewComment?: string;
            /** Format: date-time */
            suspendedUntil?: string;
            /** @description Those that the caller may see; the person who was let in is not told who they are here. */
            patients: {
                patient: string;
                custodian: string;
                named: boolean;
                flaggedBy?: string;
                flagComment?: string;
            }[];
        };
        ExceptionalAccessPage: {
            items: components["schemas"]["ExceptionalAccess"][];
            /** @description Value of _cursor for the following page. */
            next?: string;
        };
        /** @description Limits hold together; null limits nothing. */
        SharingLimits: {
            modality: string[] | null;
            bodySite: string[] | null;
            purpose: string[] | null;
            notOlderThanDays: number | null;
            /**
             * @description To be scored, and not seen; absent, what is covered is seen and scored.
             * @enum {boolean}
             */
            scoreOnly?: true;
            /**
             * @description Each series of a study is looked at by itself; absent
             * @enum {boolean}
             */
            bySeries?: true;
        };
        AgreementTerms: {
            /** @description Id of the OrganizationAffiliation. */
            agreement: string;
            /** @enum {string} */
            kind: "sharing-agreement" | "consortium-membership";
            /** @description The custodian, or the consortium. */
            organization: string;
            /** @description The recipient, or the member. */
            participant: string;
            /** Format: date-time */
            from: string | null;
            /**
             * Format: date-time
             * @description Excluded.
             */
            until: string | null;
            scope: components["schemas"]["SharingLimits"];
            charter?: components["schemas"]["SharingLimits"];
        };
        AgreementSignature: {
            id: string;
            organization: string;
            signer: string;
            name: string;
            digest: string;
            /** Format: date-time */
            signedAt: string;
            /** @description Compact JWS of the hub (key at /jwks, typ agreement-signature+jwt) over terms, digest, person, organization and time. */
            jws: string;
            /** Format: date-time */
            endedAt?: string;
            /** @enum {string} */
            endedBecause?: "terms-changed" | "withdrawn";
        };
        Agreement: {
            /** @description Of the OrganizationAffiliation. */
            version: number;
            terms: components["schemas"]["AgreementTerms"];
            /** @description SHA-256, hexadecimal, of the terms as canonical JSON (RFC 8785). */
            digest: string;
            inForce: boolean;
            /** @description Organizations whose signatures it needs. */
            signatories: string[];
            /** @description All that were ever made. */
            signatures: components["schemas"]["AgreementSignature"][];
        };
        /** @description Who put the agreement or membership in force that a decision rests on. */
        SignatureBehind: {
            agreement: string;
            organization: string;
            signer: string;
            /** Format: date-time */
            signedAt: string;
        };
        PolicyEpoch: {
            number: number;
            /** @description SHA-256 of rules and examples, in hexadecimal. */
            digest: string;
            /** @description Why. */
            note: string;
            /** @description The earlier epoch that it brought back. */
            restores?: number;
            proposedBy: string;
            publishedBy: string;
            /** Format: date-time */
            published: string;
        };
        PolicyProposal: {
            id: string;
            /** @description The epoch that it was made against. */
            base: number;
            digest: string;
            note: string;
            restores?: number;
            proposedBy: string;
            /** Format: date-time */
            proposed: string;
        };
        PolicyHistory: {
            epochs: components["schemas"]["PolicyEpoch"][];
            /** @description Value of _cursor for the following page. */
            next?: string;
            proposals: components["schemas"]["PolicyProposal"][];
        };
        /** @description By file name (`permit/….json` or `deny/….json`): description, subject, facts, action, object, rule. */
        PolicyExamples: {
            [key: string]: {
                [key: string]: unknown;
            };
        };
        /** @description Permits of the program's own examples that this policy no longer gives, by name, each with the reason. */
        PolicySuperseded: {
            [key: string]: string;
        };
        PolicyEpochWhole: components["schemas"]["PolicyEpoch"] & {
            /** @description The table as it was written. */
            rules: string;
            examples: components["schemas"]["PolicyExamples"];
            superseded: components["schemas"]["PolicySuperseded"];
        };
        PolicyProposalWhole: components["schemas"]["PolicyProposal"] & {
            /** @description Rules and examples that the policy in force does not have. */
            added: string[];
            removed: string[];
        };
        /** @description A whole policy (rules and examples), or the number of an epoch to bring back. */
        PolicyProposalRequest: {
            note: string;
            restores?: number;
            rules?: string;
            examples?: components["schemas"]["PolicyExamples"];
            superseded?: components["schemas"]["PolicySuperseded"];
        };
        ReplayedDecision: {
            allowed: boolean;
            /** @description Empty where no rule matched. */
            rule: string;
        };
        PolicyReplay: {
            /** @description The epoch that decided. */
            epoch: number;
            /** @description The epoch in force now. */
            current: number;
            recorded: components["schemas"]["ReplayedDecision"];
            /** @description Whether the rules of that epoch, on those facts, decide as was recorded. */
            same: boolean;
            questions: {
                action: string;
                object: string;
                /** @description The conditions that held. */
                held: string[];
                replayed: components["schemas"]["ReplayedDecision"];
                /** @description On the same facts; undetermined where today's rules ask for conditions that nobody looked at then. */
                today: components["schemas"]["ReplayedDecision"] | {
                    undetermined: string[];
                };
            }[];
        };
        /** @enum {string} */
        QuarantineState: "held" | "resolved" | "discarded";
        QuarantineItem: {
            id: string;
            custodian: string;
            connector?: string;
            locator: string;
            reason: string;
            detail: string;
            studyInstanceUid?: string;
            seriesInstanceUid?: string;
            sopInstanceUid?: string;
            state: components["schemas"]["QuarantineState"];
            attempts: number;
            /** Format: date-time */
            firstSeen: string;
            /** Format: date-time */
            lastSeen: string;
        };
        Notices: {
            notices: {
                id: string;
                /** @description Such as `referral.accept` or `break-glass.opened`. */
                topic: string;
                /** Format: date-time */
                created: string;
                /** @description References and codes. */
                about: {
                    [key: string]: unknown;
                };
            }[];
        };
        /** @description A box in pixels of the frame; (0, 0) is the upper left corner of the image. */
        PixelBox: {
            x: number;
            y: number;
            width: number;
            height: number;
        };
        Annotations: {
            /** @description Reference of the DiagnosticReport. */
            report: string;
            /**
             * @description DiagnosticReport.status of what is drawn.
             * @enum {string}
             */
            status: "preliminary" | "final" | "corrected" | "entered-in-error";
            /** @description Reference of the report that has taken its place. */
            supersededBy?: string;
            /** @description Reference of what was scored. */
            focus: string;
            studyInstanceUid?: string;
            model: {
                name: string;
                version: string;
            };
            findings: {
                /** @description From 1, in the order in which the report has them. */
                number: number;
                /** @description Absent where a physician says so. */
                score?: number;
                /** @description Who says so, by name; absent where the model does. */
                physician?: string;
                /** @description In the words of the physician. */
                text?: string;
                display: string;
                diameterMm?: number;
                volumeMm3?: number;
            }[];
            instances: {
                sopInstanceUid: string;
                seriesInstanceUid?: string;
                /** @description From 1, as in DICOM. */
                frame: number;
                boxes: (components["schemas"]["PixelBox"] & {
                    finding: number;
                    score?: number;
                })[];
                /** @description Even cells over a box. */
                maps: (components["schemas"]["PixelBox"] & {
                    rows: number;
                    columns: number;
                    /** @description Row by row from the top, 0 to 1. */
                    values: number[];
                })[];
            }[];
            /** @description There are heat maps and the caller may not retrieve the study. */
            mapsWithheld: boolean;
        };
        QuarantinePage: {
            items: components["schemas"]["QuarantineItem"][];
            /** @description Value of _cursor for the following page. */
            next?: string;
        };
        FailedScoringPage: {
            /** @description Models that no process which scores carries now, with the hospital's jobs that wait for one. They begin as soon as a process carries the model. */
            awaitedModels: {
                model: string;
                jobs: number;
                /** Format: date-time */
                oldest: string;
            }[];
            jobs: {
                /** @description Reference of the Task. */
                task: string;
                /** @description Reference of what was to be scored. */
                focus: string;
                model: string;
                requester: string;
                /** @description By a rule of the hospital. */
                automatic: boolean;
                reason: string;
                /** Format: date-time */
                created: string;
                /** Format: date-time */
                failed: string;
            }[];
            /** @description Value of _cursor for the following page. */
            next?: string;
        };
        ScoringProgress: {
            /** @enum {string} */
            state: "queued" | "running" | "done" | "failed" | "cancelled";
            model: string;
            /** @description How often it was begun. */
            attempts: number;
            /** @description Of a job that waits */
            before?: number;
            /** @description There are more before it than are counted. */
            orMore?: boolean;
            /** @enum {string} */
            stage?: "retrieving" | "reading" | "computing" | "measuring";
            /** @description How much of the stage is done. */
            share?: number;
            /** @description Why it failed. */
            reason?: string;
        };
        /** @enum {string} */
        LinkState: "proposed" | "linked" | "rejected" | "unlinked";
        Link: {
            id: string;
            state: components["schemas"]["LinkState"];
            /** @enum {string} */
            basis: "national-identifier" | "demographics" | "patient-number";
            /** @description What the two records agree on. */
            matched: ("national-identifier" | "patient-number" | "name" | "sex" | "birth-date")[];
            own: components["schemas"]["OwnPatient"];
            other: components["schemas"]["OtherPatient"];
            /** @description Organizations whose steward has accepted. */
            acceptedBy: string[];
            /** @description The two are joined now */
            samePerson: boolean;
            /** Format: date-time */
            proposedAt: string;
            decidedBy?: string;
            /** Format: date-time */
            decidedAt?: string;
        };
        /** @description The caller's hospital's own Patient. */
        OwnPatient: {
            patient: string;
            custodian: string;
            name?: string[];
            gender?: string;
            birthDate?: string;
            identifier?: {
                system?: string;
                value?: string;
            }[];
        };
        /** @description The other hospital's Patient; what it says of the person stays there. */
        OtherPatient: {
            patient: string;
            custodian: string;
        };
        LinkPage: {
            items: components["schemas"]["Link"][];
            /** @description Value of _cursor for the following page. */
            next?: string;
        };
        /**
         * @example 0
         * @example 2026-05
         */
        LeafOrDate: string;
        Sha256: string;
        JwkSet: {
            keys: {
                [key: string]: unknown;
            }[];
        };
        TreeHead: {
            treeSize: number;
            rootHash: components["schemas"]["Sha256"];
            /** @description Compact JWS over tree_size, root_hash and timestamp; only this is signed. */
            jws: string;
        };
        TreeHeadPage: {
            items: components["schemas"]["TreeHead"][];
            /** @description Value of _cursor for the following page. */
            next?: string;
        };
        InclusionProof: {
            event: string;
            leaf: number;
            hash: components["schemas"]["Sha256"];
            /** @description As stored; null when it is in an archive. */
            row: {
                [key: string]: unknown;
            } | null;
            head: components["schemas"]["TreeHead"];
            path: components["schemas"]["Sha256"][];
        };
        ConsistencyProof: {
            from: number;
            to: number;
            path: components["schemas"]["Sha256"][];
        };
        Health: {
            /** @enum {string} */
            status: "ok";
        };
        Readiness: {
            /** @enum {string} */
            status: "ready" | "not-ready";
            checks: {
                database: components["schemas"]["CheckResult"];
                schema: components["schemas"]["CheckResult"];
                audit: components["schemas"]["CheckResult"];
                policy: components["schemas"]["CheckResult"];
            };
        };
        /** @enum {string} */
        CheckResult: "ok" | "failed";
        OperationOutcome: {
            /** @enum {string} */
            resourceType: "OperationOutcome";
            issue: {
                /** @enum {string} */
                severity: "fatal" | "error" | "warning" | "information";
                code: string;
                diagnostics?: string;
                expression?: string[];
            }[];
        };
    };
    responses: {
        /** @description An OperationOutcome that says what was wrong or refused. */
        Refusal: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/fhir+json": components["schemas"]["OperationOutcome"];
            };
        };
    };
    parameters: {
        Id: string;
        Count: number;
        Cursor: string;
    };
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    listReports: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All reports. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReportList"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    runReport: {
        parameters: {
            query?: {
                /** @description First month that is counted. Default, eleven months before the current one. */
                from?: components["schemas"]["Month"];
                /** @description First month that is not counted any more. Default, the next month. At most 36 months after `from`. */
                until?: components["schemas"]["Month"];
                /** @description Wins over the Accept header. */
                format?: "json" | "csv";
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The figures. Only aggregates, or rows that enough persons share; no patient, person, record or day. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReportResult"];
                    "text/csv": string;
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    courseOfScore: {
        parameters: {
            query: {
                /** @description Id of the Patient. */
                patient: string;
                /** @description Name of a model whose main value is a number. */
                model: string;
                format?: "json" | "svg";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The course. As a picture its words are in Chinese unless Accept-Language begins with en. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScoreCourse"];
                    "image/svg+xml": string;
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    explainAccess: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ExplainRequest"];
            };
        };
        responses: {
            /** @description The decision, as far as the caller may be told. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Explanation"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    breakTheGlass: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["BreakGlassRequest"];
            };
        };
        responses: {
            /** @description The session, and a token whose purpose is BTG and which reads this patient only. */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BreakGlassSession"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    openOversightCase: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OversightCaseRequest"];
            };
        };
        responses: {
            /** @description The case, pending. */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExceptionalAccess"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    listExceptionalAccess: {
        parameters: {
            query?: {
                kind?: "break-glass" | "oversight";
                state?: "pending" | "open" | "over";
                review?: "owed" | "overdue" | "justified" | "not-justified";
                flagged?: boolean;
                _count?: components["parameters"]["Count"];
                _cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page, newest first. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExceptionalAccessPage"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    exceptionalAccessToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The token. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AccessTokenResponse"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    endExceptionalAccess: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The access as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExceptionalAccess"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    confirmOversightCase: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The case as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExceptionalAccess"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    reviewBreakGlass: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ReviewRequest"];
            };
        };
        responses: {
            /** @description The session as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExceptionalAccess"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    flagExceptionalAccess: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["FlagRequest"];
            };
        };
        responses: {
            /** @description The access as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExceptionalAccess"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    readAgreement: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description As it stands. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Agreement"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    signAgreement: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Of the terms that were read; others are refused with 409. */
                    digest: string;
                };
            };
        };
        responses: {
            /** @description As it stands now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Agreement"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    withdrawAgreement: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description As it stands now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Agreement"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    readPolicy: {
        parameters: {
            query?: {
                _count?: components["parameters"]["Count"];
                /** @description The epoch before which the page begins. */
                _cursor?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The epochs and the open proposals. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyHistory"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    readPolicyEpoch: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                number: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The epoch, whole. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyEpochWhole"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    proposePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PolicyProposalRequest"];
            };
        };
        responses: {
            /** @description The proposal, with what it would change. */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyProposalWhole"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    readPolicyProposal: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The proposal. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyProposalWhole"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    publishPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The epoch that is in force now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyEpoch"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    withdrawPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The proposal as it was. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyProposal"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    replayDecision: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Id of the AuditEvent. */
                    auditEvent: string;
                };
            };
        };
        responses: {
            /** @description The decision, then and now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyReplay"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    listNotices: {
        parameters: {
            query?: {
                _count?: components["parameters"]["Count"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The oldest notices. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notices"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    acknowledgeNotice: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Taken note of. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["Refusal"];
        };
    };
    openLaunch: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LaunchRequest"];
            };
        };
        responses: {
            /** @description The launch, and the address of the hub's own page with it. */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Launch"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    listQuarantine: {
        parameters: {
            query?: {
                state?: components["schemas"]["QuarantineState"];
                reason?: string;
                _count?: components["parameters"]["Count"];
                _cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of items, newest first. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuarantinePage"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    retryQuarantined: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The item as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuarantineItem"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    discardQuarantined: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The item as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuarantineItem"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    listFailedScores: {
        parameters: {
            query?: {
                _count?: components["parameters"]["Count"];
                _cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of jobs, the newest failure first. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FailedScoringPage"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    followScoring: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events; the data of each is a ScoringProgress. Comments (`: still here`) come in between. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["ScoringProgress"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    sourceChanged: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The source is read now. */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["Refusal"];
        };
    };
    reviewScoringReport: {
        parameters: {
            query?: never;
            header: {
                /** @description The version that was read */
                "If-Match": string;
            };
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ScoringReview"];
            };
        };
        responses: {
            /** @description The DiagnosticReport as it is now. */
            200: {
                headers: {
                    etag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/fhir+json": Record<string, never>;
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    listLinks: {
        parameters: {
            query?: {
                state?: components["schemas"]["LinkState"];
                _count?: components["parameters"]["Count"];
                _cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of pairs, newest first. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LinkPage"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    decideLink: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
                decision: "accept" | "reject" | "unlink";
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The pair as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Link"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    auditKeys: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A JWK Set (RFC 7517); the key id is the RFC 7638 thumbprint. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/jwk-set+json": components["schemas"]["JwkSet"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    listTreeHeads: {
        parameters: {
            query?: {
                _count?: components["parameters"]["Count"];
                _cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of heads. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TreeHeadPage"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    latestTreeHead: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The head. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TreeHead"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    proveInclusion: {
        parameters: {
            query: {
                /** @description AuditEvent.id. */
                event: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The event's stored row, its leaf, and the path to the newest head. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["InclusionProof"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    proveConsistency: {
        parameters: {
            query: {
                from: number;
                /** @description Default, the newest head. */
                to?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The path. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsistencyProof"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    exportAudit: {
        parameters: {
            query?: {
                /** @description First leaf, or a UTC month or day. Default, the first. */
                from?: components["schemas"]["LeafOrDate"];
                /** @description First leaf that is not wanted, or month or day. Default, all that is sealed. */
                to?: components["schemas"]["LeafOrDate"];
                /** @description Size of a witnessed tree that the export shall show to be its beginning. */
                witnessed?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Lines of JSON; the last begins with `{"end"`. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/x-ndjson": string;
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    readStructuredReport: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A PS3.10 file. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/dicom": string;
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    readAnnotations: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Findings, and what is drawn on which frame. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Annotations"];
                };
            };
            default: components["responses"]["Refusal"];
        };
    };
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It does. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                };
            };
        };
    };
    readiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of it holds. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
            /** @description Some of it does not. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
        };
    };
    metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Text exposition format. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
}

import { crossHospitalAccess } from './cross-hospital-access.js';
import { deidentifiedStudies } from './deidentified-studies.js';
import { exceptionalAccess } from './exceptional-access.js';
import { exchangeVolume } from './exchange-volume.js';
import { modelPerformance } from './model-performance.js';
import type { Report } from './report.js';

export {
  type Bilingual,
  type Column,
  type Period,
  period,
  type Report,
  type ReportQuery,
  type Row,
  runReport,
} from './report.js';

/** Every report, in the order in which they are listed. */
export const reports: readonly Report[] = [
  exchangeVolume,
  crossHospitalAccess,
  exceptionalAccess,
  deidentifiedStudies,
  modelPerformance,
];

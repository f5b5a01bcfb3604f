"""Tasks: what joins networks and an objective. `config.task` names one of LOSSES."""

from svdjax.tasks import autoencoding, contrastive, denoising

LOSSES = {
    'autoencoding': autoencoding.loss,
    'contrastive': contrastive.loss,
    'denoising': denoising.loss,
}

"""Tasks: what joins networks and an objective. `config.task` names one of LOSSES."""

from svdjax.tasks import adversarial, autoencoding, contrastive, denoising

LOSSES = {
    'adversarial': adversarial.loss,
    'autoencoding': autoencoding.loss,
    'contrastive': contrastive.loss,
    'denoising': denoising.loss,
}
